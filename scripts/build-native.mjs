// Builds build/Release/diffuse_native.node with plain cmake, incrementally; downloads nothing.
// A compile error ends with exit code 1 and leaves the last good addon in place: the linker writes the file only on success.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'build');

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** Runs a command quietly; prints what it said only when it fails. */
function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  console.error(`the native build failed: ${command} ${args.join(' ')}`);
  process.exit(1);
}

if (process.env.DIFFUSE_NATIVE) {
  console.error(`native build skipped: DIFFUSE_NATIVE names an addon, ${process.env.DIFFUSE_NATIVE}`);
  process.exit(0);
}
if (!has('cmake')) {
  console.error('cmake was not found. On Debian or Ubuntu: apt-get install -y cmake g++ ninja-build');
  process.exit(1);
}
if (process.argv.includes('--force') || !existsSync(join(out, 'CMakeCache.txt'))) {
  const generator = has('ninja') ? ['-G', 'Ninja'] : [];
  run('cmake', ['-S', root, '-B', out, '-DCMAKE_BUILD_TYPE=Release', ...generator]);
}
run('cmake', ['--build', out, '--parallel', String(availableParallelism())]);
