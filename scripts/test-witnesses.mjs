// `pnpm test:witnesses [FILTER]`: kernels of others that are known to be right on hardware, run as they were published on the simulator of
// CUDA devices and held against references in float64 (cuda/simulator/witnesses). If the simulator and the kernels of this project were wrong in
// the same way, their tests would not tell; these do.
//
//   FILTER             only witnesses whose IMAGE/NAME contains it
//   --checkouts DIR    a folder with the repositories of sources.json, each under its name, e.g. DIR/llm.c; what is not there is skipped
//
// Without --checkouts the repositories are fetched with git into build/cuda/witnesses, at the commits of sources.json; one that cannot be
// fetched is skipped. Nothing of them becomes part of this project. At the end stands which of the instructions that our kernels use no
// witness has run. The last line is "N passed, N failed, N skipped".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { findCompiler, ptxFolder } from './lib/cuda.mjs';
import { buildSimulator, buildWitnesses } from './lib/cuda-simulator.mjs';
import { option, root, run } from './lib/project.mjs';

const home = join(root, 'cuda/simulator/witnesses');
const cache = join(root, 'build/cuda/witnesses');
const images = join(cache, 'ptx');
const log = join(cache, 'calls.log');
const checkouts = option('checkouts');
const filter = process.argv.slice(2).find((word) => !word.startsWith('--') && word !== checkouts) ?? '';

const simulator = await buildSimulator();
if (simulator.missing) {
  console.log(`witnesses skipped: ${simulator.missing}\n0 passed, 0 failed, 1 skipped`);
  process.exit(0);
}
const program = buildWitnesses();
const compiler = findCompiler();

/**
 * The files of a repository at its commit.
 *
 * @returns `{ folder }`, or `{ missing }`: why there are none
 */
function checkout(repository, commit) {
  const name = basename(repository);
  if (checkouts !== undefined) {
    const folder = join(resolve(checkouts), name);
    return existsSync(folder) ? { folder } : { missing: `there is no ${folder}` };
  }
  const folder = join(cache, name);
  const git = (...args) => spawnSync('git', ['-C', folder, ...args], { encoding: 'utf8', timeout: 300_000 });
  if (existsSync(folder) && git('rev-parse', 'HEAD').stdout?.trim() === commit) return { folder };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const steps = [
    ['init', '--quiet'],
    ['fetch', '--quiet', '--depth', '1', `https://github.com/${repository}`, commit],
    ['checkout', '--quiet', 'FETCH_HEAD'],
  ];
  for (const step of steps) {
    const { status, stderr, error } = git(...step);
    if (status === 0) continue;
    rmSync(folder, { recursive: true, force: true });
    return { missing: `git ${step[0]} failed: ${(error?.message ?? stderr).trim().split('\n').at(-1)}` };
  }
  return { folder };
}

/** Compiles a file to PTX, unless that was done before; the assembler takes what nvcc makes of it, too. */
function compile(image, { file, flags = [], folders = [] }, folder) {
  const to = join(images, `${image}.ptx`);
  const included = ['-I', join(home, 'stubs'), ...folders.flatMap((path) => ['-I', join(folder, path)])];
  // Assertions call a function of the device's runtime; warnings are for those who wrote the files.
  const words = [
    '-std=c++17',
    '-O3',
    '-lineinfo',
    '-DNDEBUG',
    '-w',
    '--expt-relaxed-constexpr',
    '-ptx',
    '-arch=compute_80',
  ];
  const args = [...words, ...flags, ...included, '-o', to, join(folder, file)];
  const key = JSON.stringify([compiler.version, args, readFileSync(join(folder, file), 'utf8'), stubs]);
  const keyFile = join(images, `${image}.key`);
  if (existsSync(to) && existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return;
  const { status, output } = run(compiler.nvcc, args);
  if (status !== 0) throw new Error(`${output}\ncompiling ${file} failed`);
  writeFileSync(keyFile, key);
}

/** The instructions, with their modifiers, in the text of entries of PTX. */
function instructionsOf(ptx, isWanted = () => true) {
  const found = new Set();
  for (const [, entry, body] of ptx.matchAll(/\.entry (\w+)\([^)]*\)[^{]*\{([\s\S]*?)\n\}/g)) {
    if (!isWanted(entry)) continue;
    for (const statement of body.replace(/\/\/.*/g, '').split(/[;{}\n]/)) {
      const name = /^\s*(?:@!?[%$\w]+\s+)?([a-z]\w*(?:(?:\.|::)\w+)*)(?=\s|$)/.exec(statement)?.[1];
      if (name !== undefined) found.add(name);
    }
  }
  return found;
}

/** Says which of the instructions of our own kernels no witness has run. */
function tellInstructions() {
  const launched = new Set(
    [...(existsSync(log) ? textOf(log) : '').matchAll(/cuLaunchKernel CUDA_SUCCESS: (\w+)/g)].map(([, entry]) => entry),
  );
  const known = new Set(
    ready.flatMap((image) => [...instructionsOf(textOf(join(images, `${image}.ptx`)), (entry) => launched.has(entry))]),
  );
  const ours = new Set(
    readdirSync(ptxFolder)
      .filter((name) => name.endsWith('.ptx'))
      .flatMap((name) => [...instructionsOf(textOf(join(ptxFolder, name)))]),
  );
  const without = [...ours].filter((name) => !known.has(name)).sort();
  console.log(
    `witnesses have ${known.size} instructions; of the ${ours.size} of our own kernels ${ours.size - without.length} are among them, not:`,
  );
  console.log(`  ${without.join(' ')}`);
}

const textOf = (path) => readFileSync(path, 'utf8');
const sources = JSON.parse(textOf(join(home, 'sources.json')));
const stubs = readdirSync(join(home, 'stubs'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => textOf(join(entry.parentPath ?? entry.path, entry.name)));
mkdirSync(images, { recursive: true });
const ready = [];
for (const [repository, { commit, images: wanted }] of Object.entries(sources)) {
  const { folder, missing } = checkout(repository, commit);
  for (const [image, recipe] of Object.entries(wanted)) {
    if (missing === undefined) {
      compile(image, recipe, folder);
      ready.push(image);
    } else {
      rmSync(join(images, `${image}.ptx`), { force: true });
    }
  }
  if (missing !== undefined) console.log(`${repository} is left out: ${missing}`);
}

rmSync(log, { force: true });
const environment = { LD_LIBRARY_PATH: dirname(simulator.environment.DIFFUSE_CUDA_DRIVER), CUDA_SIMULATOR_LOG: log };
const { status, output, stdout } = run(program, [images, filter], { env: environment, timeoutMs: 900_000 });
// On standard error stand findings, also those that a witness is known for.
const counts = stdout.trimEnd().split('\n').at(-1);
process.stdout.write((status === 0 ? stdout : output).replace(`${counts}\n`, ''));
if (status !== 0 && !/\d+ failed/.test(stdout)) console.error(`${program} ended with ${status}, without its counts`);

if (ready.length > 0 && filter === '') tellInstructions();
console.log(counts);
process.exit(status === 0 ? 0 : 1);
