// `pnpm test:mutants [IMAGE…]`: how well the tests of the CUDA kernels would notice a mistake. Changes one line of a kernel's PTX at a
// time (scripts/lib/ptx-mutations.mjs), runs the tests of the ops that launch it on the simulator, and counts the mutants that no test
// notices. Fails if fewer than 95 % are noticed.
//
//   IMAGE…        names of images, cuda/ops/IMAGE.cu; all without
//   --cap N       mutants of an image (40)
//   --seed N      which (0)
//
// What is left are bounds that no test's shape reaches, barriers that the code does not need, and arithmetic whose other form is the
// same for the numbers that occur: each survivor deserves a look.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { factsFile, ptxFolder } from './lib/cuda.mjs';
import { buildSimulator } from './lib/cuda-simulator.mjs';
import { buildNativeTests } from './lib/native-tests.mjs';
import { filesIn, has, option, root } from './lib/project.mjs';
import { chooseMutants, mutantsOf, withMutant } from './lib/ptx-mutations.mjs';

const wantedShare = 0.95;
const cap = Number(option('cap') ?? 40);
const seed = Number(option('seed') ?? 0);
const optionValues = new Set(['cap', 'seed'].map((name) => process.argv.indexOf(`--${name}`) + 1));
const wantedImages = process.argv.filter((word, i) => i >= 2 && !word.startsWith('--') && !optionValues.has(i));

const simulator = await buildSimulator();
if (simulator.missing) {
  console.log(`mutants skipped: ${simulator.missing}`);
  process.exit(0);
}
const program = buildNativeTests('build-cuda-tests', ['-DDIFFUSE_CUDA_TESTS=ON'], 'diffuse_cuda_tests');
const texts = new Map(
  readdirSync(ptxFolder)
    .filter((name) => name.endsWith('.ptx'))
    .sort()
    .map((name) => [name.slice(0, -4), readFileSync(join(ptxFolder, name), 'utf8')]),
);
for (const image of wantedImages) {
  if (texts.has(image)) continue;
  console.error(`there is no image ${image}; there are ${[...texts.keys()].join(', ')}`);
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'diffuse-mutants-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

/** A launch of a test runs some millions of instructions; what runs more is a loop that does not end. */
const budget = 1 << 25;

/**
 * Runs tests; ends them at the first sign of a failure.
 *
 * @returns `{ passed, seconds, said }`
 */
function test(filter, { images = ptxFolder, quick = true, log = '', timeoutMs = 300_000 } = {}) {
  return new Promise((resolve) => {
    const words = [program, ...(quick ? ['--quick'] : []), filter];
    // Without it, output to a pipe is held back until the end of each test.
    if (has('stdbuf')) words.unshift('stdbuf', '-oL');
    const child = spawn(words[0], words.slice(1), {
      cwd: root,
      env: {
        ...process.env,
        ...simulator.environment,
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

/** The first group of each match in files of native. */
const namesIn = (paths, pattern) =>
  paths.flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(pattern)].map(([, name]) => name));

/**
 * For each kernel of ops/kernels.def, and each test of several: the entries that its tests launch, how long they take, and what they say
 * if they fail as it is. Tests of several kernels that take long, or that provoke what the simulator finds, are left out.
 */
async function baseline() {
  const kernels = namesIn(['native/ops/kernels.def'], /^KERNEL\((\w+)/gm);
  const others = namesIn(filesIn('native/tests', /^cuda_.*\.cc$/), /^TEST\((cuda_\w+)/gm);
  const results = [];
  await inParallel([...kernels, ...others], async (kernel) => {
    const log = join(work, `${kernel}.log`);
    const several = kernel.startsWith('cuda_');
    const { passed, seconds, said } = await test(kernel, { log, ...(several && { timeoutMs: 20_000 }) });
    if (several && !passed) return;
    const calls = existsSync(log) ? readFileSync(log, 'utf8') : '';
    const launches = calls.matchAll(/cuLaunchKernel CUDA_SUCCESS: (\w+)/g);
    const entries = new Set([...launches].map(([, entry]) => entry));
    results.push({ kernel, seconds, entries, failure: passed ? undefined : said });
  });
  // The shortest first: most mutants are noticed by any.
  return results.sort((a, b) => a.seconds - b.seconds);
}

/** A folder of images of which one is changed. */
function imagesWith(image, text, lane) {
  const folder = join(work, `images-${lane}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  symlinkSync(join(ptxFolder, factsFile), join(folder, factsFile));
  for (const name of texts.keys()) {
    if (name !== image) symlinkSync(join(ptxFolder, `${name}.ptx`), join(folder, `${name}.ptx`));
  }
  writeFileSync(join(folder, `${image}.ptx`), text);
  return folder;
}

/** Whether any test notices a mutant: on few shapes, then on all. */
async function isNoticed(image, mutant, tests, lane) {
  const images = imagesWith(image, withMutant(texts.get(image), mutant), lane);
  for (const quick of [true, false]) {
    for (const { kernel, seconds } of tests) {
      const timeoutMs = (quick ? 20_000 : 60_000) + seconds * (quick ? 10_000 : 40_000);
      if (!(await test(kernel, { images, quick, timeoutMs })).passed) return true;
    }
  }
  return false;
}

const describe = ({ entry, change, file, sourceLine, index, from }) =>
  `${entry} at ${file}:${sourceLine}: ${change} (line ${index + 1} of the PTX: ${from})`;

const images = wantedImages.length > 0 ? wantedImages : [...texts.keys()];
const tests = await baseline();
const wantedEntries = images.flatMap((image) => mutantsOf(texts.get(image)).map(({ entry }) => entry));
const broken = tests.filter(
  ({ failure, entries }) => failure !== undefined && wantedEntries.some((entry) => entries.has(entry)),
);
for (const { kernel, failure } of broken) console.error(`${failure}\nthe tests of ${kernel} fail without any mutant`);
if (broken.length > 0) process.exit(1);
const total = { noticed: 0, all: 0 };
for (const image of images) {
  const launched = (entry) => tests.filter(({ entries }) => entries.has(entry));
  const possible = mutantsOf(texts.get(image));
  for (const entry of new Set(possible.map((mutant) => mutant.entry))) {
    if (launched(entry).length === 0) console.log(`${image}: no test launches ${entry}`);
  }
  const chosen = chooseMutants(possible, cap, seed);
  const survivors = [];
  await inParallel(chosen, async (mutant, lane) => {
    if (!(await isNoticed(image, mutant, launched(mutant.entry), lane))) survivors.push(mutant);
  });
  const noticed = chosen.length - survivors.length;
  total.noticed += noticed;
  total.all += chosen.length;
  console.log(`${image}: ${noticed} of ${chosen.length} mutants noticed (${possible.length} possible)`);
  for (const mutant of survivors.sort((a, b) => a.index - b.index)) console.log(`  survived: ${describe(mutant)}`);
}
const share = total.noticed / total.all;
console.log(`${total.noticed} of ${total.all} mutants noticed, ${(100 * share).toFixed(1)} %`);
process.exit(share < wantedShare ? 1 : 0);
