// `pnpm cuda:paper [--gpus a100,h100,rtx4090] [--precision bf16] [--batch N]`: what training steps would take on GPUs that are not there,
// kernel by kernel, as a table (packages/bench/src/paper).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { buildImages, findCompiler, imageFolder } from './lib/cuda.mjs';
import { buildSimulator } from './lib/cuda-simulator.mjs';
import { root } from './lib/project.mjs';

const args = process.argv.slice(2);
const program = join(root, 'packages/bench/src/paper/main.ts');
const run = (own, environment = {}) => {
  const all = ['--conditions=@diffuse/source', program, ...own, ...args];
  return spawnSync('tsx', all, { cwd: root, env: { ...process.env, ...environment }, stdio: 'inherit' }).status ?? 1;
};

// What is wrong with the command line is said before anything is built.
const read = run([]);
if (read !== 0 || args.includes('--help')) process.exit(read);

const compiler = findCompiler();
if (compiler.missing) {
  console.error(`the kernels' registers are not known: ${compiler.missing}`);
  process.exit(1);
}
await buildImages(compiler);
const { environment } = await buildSimulator();
process.exit(run(['--resources', join(imageFolder, 'resources.json')], environment));
