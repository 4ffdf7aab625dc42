// Builds diffuse_native_tests (native/tests), each variant in a folder of its own, so that none is built from scratch twice.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { has, root, run } from './project.mjs';

/**
 * Configures and builds; ends the process with the compiler's words where that fails.
 *
 * @param folder build folder, relative to the root
 * @param settings cmake cache entries, e.g. `-DDIFFUSE_SANITIZE=address`
 * @returns path of the program
 */
export function buildNativeTests(folder, settings = []) {
  const out = join(root, folder);
  const generator = has('ninja') ? ['-G', 'Ninja'] : [];
  const steps = [
    ['-S', root, '-B', out, '-DCMAKE_BUILD_TYPE=Release', '-DDIFFUSE_NATIVE_TESTS=ON', ...settings, ...generator],
    ['--build', out, '--target', 'diffuse_native_tests', '--parallel', String(availableParallelism())],
  ];
  for (const step of steps) {
    const { status, output } = run('cmake', step);
    if (status === 0) continue;
    process.stderr.write(output);
    console.error(`building the native tests failed: cmake ${step.join(' ')}`);
    process.exit(1);
  }
  return join(out, 'diffuse_native_tests');
}
