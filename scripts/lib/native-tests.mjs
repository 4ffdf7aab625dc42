// Builds diffuse_native_tests or diffuse_cuda_tests (native/tests), each variant in a folder of its own, so that none is built from scratch twice.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { has, root, run } from './project.mjs';

/**
 * Configures and builds; ends the process with the compiler's words where that fails.
 *
 * @param folder build folder, relative to the root
 * @param settings cmake cache entries, e.g. `-DDIFFUSE_SANITIZE=address`
 * @param target which of the programs
 * @returns path of the program
 */
export function buildNativeTests(folder, settings = [], target = 'diffuse_native_tests') {
  const out = join(root, folder);
  const generator = has('ninja') ? ['-G', 'Ninja'] : [];
  const steps = [
    [
      '-S',
      root,
      '-B',
      out,
      '-DCMAKE_BUILD_TYPE=Release',
      ...(target === 'diffuse_native_tests' ? ['-DDIFFUSE_NATIVE_TESTS=ON'] : []),
      ...settings,
      ...generator,
    ],
    ['--build', out, '--target', target, '--parallel', String(availableParallelism())],
  ];
  for (const step of steps) {
    const { status, output } = run('cmake', step);
    if (status === 0) continue;
    process.stderr.write(output);
    console.error(`building ${target} failed: cmake ${step.join(' ')}`);
    process.exit(1);
  }
  return join(out, target);
}
