// `pnpm test:mutants [IMAGE…]`: how well the tests of the CUDA kernels would notice a mistake. Changes one line of a kernel's PTX at a
// time (scripts/lib/ptx-mutations.mjs), runs the tests that launch the kernel on the simulator, and counts the mutants that no test
// notices. Those need an explanation in cuda/surviving_mutants.json (scripts/lib/surviving-mutants.mjs says how it is written). Fails if
// fewer than 95 % are noticed, or if one survives that nothing explains.
//
//   IMAGE…           names of images, cuda/ops/IMAGE.cu; all without
//   --cap N          mutants of an image (40)
//   --seed N         which (0)
//   --at FILE[:LINE] only those of a file of the source or of one line of it, all of them: for who writes a test that notices them
//   --list           the mutants that would be tried, without trying them
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { factsFile, findCompiler, ptxFolder, rolledPtx } from './lib/cuda.mjs';
import { buildSimulator } from './lib/cuda-simulator.mjs';
import { buildNativeTests } from './lib/native-tests.mjs';
import { has, option, root } from './lib/project.mjs';
import { chooseMutants, mutantsOf, withMutant } from './lib/ptx-mutations.mjs';
import { readExplanations } from './lib/surviving-mutants.mjs';

const wantedShare = 0.95;
const [wantedFile, wantedLine] = option('at')?.split(':') ?? [];
const cap = wantedFile === undefined ? Number(option('cap') ?? 40) : Number.POSITIVE_INFINITY;
const seed = Number(option('seed') ?? 0);
const optionValues = new Set(['cap', 'seed', 'at'].map((name) => process.argv.indexOf(`--${name}`) + 1));
const wantedImages = process.argv.filter((word, i) => i >= 2 && !word.startsWith('--') && !optionValues.has(i));

const simulator = await buildSimulator();
if (simulator.missing) {
  console.log(`mutants skipped: ${simulator.missing}`);
  process.exit(0);
}
// Of loops that the compiler unrolls there are two copies, and which of them runs changes nothing; these are as they are written.
const texts = await rolledPtx(findCompiler());
for (const image of wantedImages) {
  if (texts.has(image)) continue;
  console.error(`there is no image ${image}; there are ${[...texts.keys()].join(', ')}`);
  process.exit(2);
}

// Tests run on copies, so that one may go on working and building meanwhile.
const work = mkdtempSync(join(tmpdir(), 'diffuse-mutants-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const program = join(work, 'tests');
const driver = join(work, 'libcuda.so.1');
const unchanged = join(work, 'images');
copyFileSync(buildNativeTests('build-cuda-tests', ['-DDIFFUSE_CUDA_TESTS=ON'], 'diffuse_cuda_tests'), program);
copyFileSync(simulator.environment.DIFFUSE_CUDA_DRIVER, driver);
mkdirSync(unchanged);
copyFileSync(join(ptxFolder, factsFile), join(unchanged, factsFile));
for (const [name, text] of texts) writeFileSync(join(unchanged, `${name}.ptx`), text);

/** Without it, output to a pipe is held back until the end of each test. */
const hasStdbuf = has('stdbuf');

/** A launch of a test runs some millions of instructions; what runs more is a loop that does not end. */
const budget = 1 << 25;

/**
 * Runs tests; ends them at the first sign of a failure.
 *
 * @returns `{ passed, seconds, said }`
 */
function test(filter, { images = unchanged, quick = true, log = '', timeoutMs = 300_000 } = {}) {
  return new Promise((resolve) => {
    const words = [program, ...(quick ? ['--quick'] : []), filter];
    if (hasStdbuf) words.unshift('stdbuf', '-oL');
    const child = spawn(words[0], words.slice(1), {
      cwd: root,
      env: {
        ...process.env,
        ...simulator.environment,
        DIFFUSE_CUDA_DRIVER: driver,
        DIFFUSE_CUDA_IMAGES: images,
        CUDA_SIMULATOR_BUDGET: String(budget),
        CUDA_SIMULATOR_LOG: log,
        CUDA_SIMULATOR_REPORT: '',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const begin = performance.now();
    let said = '';
    let failed = false;
    const stop = () => {
      failed = true;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(stop, timeoutMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
        if (/^(FAILED| {8}|CUDA simulator: )/m.test(said)) stop();
      });
    }
    child.on('close', (status) => {
      clearTimeout(timer);
      const passed = !failed && status === 0 && !/\b0 passed/.test(said);
      resolve({ passed, seconds: (performance.now() - begin) / 1000, said });
    });
  });
}

/** Runs `body` on all items, as many at a time as there are cores; `body` gets the number of its lane too. */
async function inParallel(items, body) {
  const waiting = [...items];
  const lane = async (number) => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await body(item, number);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, (_, number) => lane(number)));
}

/** Where tests of kernels stand, beside that of each: other files test what the host does. */
const testsOfKernels = ['kernels', 'numbers', 'refusals', 'traffic'].map((name) => `native/tests/cuda_${name}_test.cc`);

/** The first group of each match in files of native. */
const namesIn = (paths, pattern) =>
  paths.flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(pattern)].map(([, name]) => name));

/**
 * For each kernel of ops/kernels.def, and each test of several kernels: the entries that it launches, how long it takes, and what it says
 * if it fails as it is. Kept until the program or an image changes.
 */
async function baseline() {
  const kernels = namesIn(['native/ops/kernels.def'], /^KERNEL\((\w+)/gm);
  const others = namesIn(testsOfKernels, /^TEST\((\w+)/gm);
  const hash = createHash('sha256').update(readFileSync(program));
  for (const text of texts.values()) hash.update(text);
  const key = hash.digest('hex');
  const kept = join(root, 'build/cuda/mutants-baseline.json');
  if (existsSync(kept)) {
    const { key: keptKey, results } = JSON.parse(readFileSync(kept, 'utf8'));
    if (keptKey === key) return results;
  }
  const results = [];
  await inParallel([...kernels, ...others], async (name) => {
    const log = join(work, `${name}.log`);
    const { passed, seconds, said } = await test(name, { log });
    const calls = existsSync(log) ? readFileSync(log, 'utf8') : '';
    const launches = calls.matchAll(/cuLaunchKernel CUDA_SUCCESS: (\w+)/g);
    const entries = [...new Set([...launches].map(([, entry]) => entry))];
    results.push({ name, several: !kernels.includes(name), seconds, entries, failure: passed ? undefined : said });
  });
  // The shortest first: most mutants are noticed by any.
  results.sort((a, b) => a.seconds - b.seconds);
  if (results.every(({ failure }) => failure === undefined)) writeFileSync(kept, JSON.stringify({ key, results }));
  return results;
}

/** A folder of images of which one is changed. */
function imagesWith(image, text, lane) {
  const folder = join(work, `images-${lane}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  symlinkSync(join(unchanged, factsFile), join(folder, factsFile));
  for (const name of texts.keys()) {
    if (name !== image) symlinkSync(join(unchanged, `${name}.ptx`), join(folder, `${name}.ptx`));
  }
  writeFileSync(join(folder, `${image}.ptx`), text);
  return folder;
}

/** Kernels whose tests on all layouts have been seen to pass without a mutant, or are being looked at. */
const passesInFull = new Map();
async function expectToPassInFull(name) {
  if (!passesInFull.has(name)) passesInFull.set(name, test(name, { quick: false, timeoutMs: 600_000 }));
  const { passed, said } = await passesInFull.get(name);
  if (!passed) throw new Error(`${said}\nthe tests of ${name} fail without any mutant`);
}

/** Whether any test notices a mutant: that of its kernels on few layouts of tensors, then on all, then those of several kernels. */
async function isNoticed(image, mutant, tests, lane) {
  const images = imagesWith(image, withMutant(texts.get(image), mutant), lane);
  const own = tests.filter(({ several }) => !several);
  const runs = [
    ...own.map((of) => ({ ...of, quick: true })),
    ...own.map((of) => ({ ...of, quick: false })),
    ...tests.filter(({ several }) => several).map((of) => ({ ...of, quick: true })),
  ];
  for (const { name, seconds, quick } of runs) {
    if (!quick) await expectToPassInFull(name);
    const timeoutMs = (quick ? 20_000 : 60_000) + seconds * (quick ? 10_000 : 40_000);
    if (!(await test(name, { images, quick, timeoutMs })).passed) return true;
  }
  return false;
}

const describe = ({ entry, change, file, sourceLine, index, from }) =>
  `${entry} at ${file}:${sourceLine}: ${change} (line ${index + 1} of the PTX: ${from})`;

const isWanted = ({ file, sourceLine }) =>
  wantedFile === undefined || (file === wantedFile && (wantedLine === undefined || sourceLine === Number(wantedLine)));

const names = wantedImages.length > 0 ? wantedImages : [...texts.keys()];
const images = names.map((name) => {
  const possible = mutantsOf(texts.get(name));
  const chosen = chooseMutants(possible.filter(isWanted), cap, seed);
  return { name, possible, chosen, waiting: chosen.length, explained: [], unexplained: [] };
});
if (process.argv.includes('--list')) {
  for (const { name, chosen } of images) for (const mutant of chosen) console.log(`${name}: ${describe(mutant)}`);
  process.exit(0);
}

const explanations = readExplanations();
const stale = explanations.stale([...texts.values()].flatMap((text) => mutantsOf(text)));
const tests = await baseline();
const launched = (entry) => tests.filter(({ entries }) => entries.includes(entry));
const broken = tests.filter(
  ({ failure, entries }) =>
    failure !== undefined && images.some(({ possible }) => possible.some(({ entry }) => entries.includes(entry))),
);
for (const { name, failure } of broken) console.error(`${failure}\nthe tests of ${name} fail without any mutant`);
if (broken.length > 0) process.exit(1);

const noticedOf = ({ chosen, explained, unexplained }) => chosen.length - explained.length - unexplained.length;
function report(image) {
  const { name, possible, chosen, explained, unexplained } = image;
  for (const entry of new Set(possible.map((mutant) => mutant.entry))) {
    if (launched(entry).length === 0) console.log(`${name}: no test launches ${entry}`);
  }
  const noticed = noticedOf(image);
  console.log(
    `${name}: ${noticed} of ${chosen.length} mutants noticed, ${explained.length} explained, ${unexplained.length} not (${possible.length} possible)`,
  );
  const inOrder = (mutants) => mutants.sort((a, b) => a.index - b.index);
  for (const mutant of inOrder(explained)) console.log(`  explained: ${describe(mutant)}`);
  for (const mutant of inOrder(unexplained)) console.log(`  survived: ${describe(mutant)}`);
}
for (const image of images) if (image.waiting === 0) report(image);
await inParallel(
  images.flatMap((image) => image.chosen.map((mutant) => ({ image, mutant }))),
  async ({ image, mutant }, lane) => {
    if (!(await isNoticed(image.name, mutant, launched(mutant.entry), lane))) {
      (explanations.explains(mutant) ? image.explained : image.unexplained).push(mutant);
    }
    image.waiting--;
    if (image.waiting === 0) report(image);
  },
);

const sum = (count) => images.reduce((total, image) => total + count(image), 0);
const all = sum(({ chosen }) => chosen.length);
const noticed = sum(noticedOf);
const unexplained = sum((image) => image.unexplained.length);
const share = all === 0 ? 1 : noticed / all;
for (const problem of stale) console.log(`cuda/surviving_mutants.json: ${problem}`);
console.log(
  `${noticed} of ${all} mutants noticed, ${(100 * share).toFixed(1)} %; ${all - noticed - unexplained} explained, ${unexplained} not`,
);
process.exit(share < wantedShare || unexplained > 0 || stale.length > 0 ? 1 : 0);
