// `pnpm check:cuda`: compiles every kernel for every architecture and holds what came out to the rules of cuda/README.md: nothing
// spilled or on a stack, blocks that fit a multiprocessor, no calls, no global variables, no atomics on floating-point numbers, the
// instructions that a file promises, bytes enough under way where only bytes are moved, and images that stay small. Where there is no
// nvcc it says so and checks nothing.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildImages, buildPtx, findCompiler, imageFolder, sources } from './lib/cuda.mjs';
import { filesIn, finish, root, run } from './lib/project.mjs';

/** Registers of a multiprocessor, on every architecture. */
const registerLimit = 65536;
/** Registers are handed out to a warp in steps of this many a thread. */
const registerStep = 8;
/** Bytes of shared memory that a block has without asking for more, which is the most that may be declared. */
const sharedLimit = 48 * 1024;
const threadLimit = 1024;
const imageLimit = 8 * 2 ** 20;
/**
 * Of each architecture the GPU whose multiprocessors get most of the memory's rate (A100, RTX 3090, RTX 4090, H200, B200, RTX 5090), and the
 * threads that one holds.
 */
const multiprocessors = {
  sm_80: { rate: 2039e9 / 108, threads: 2048 },
  sm_86: { rate: 936e9 / 82, threads: 1536 },
  sm_89: { rate: 1008e9 / 128, threads: 1536 },
  sm_90: { rate: 4800e9 / 132, threads: 2048 },
  sm_100: { rate: 8000e9 / 148, threads: 2048 },
  sm_120: { rate: 1792e9 / 170, threads: 1536 },
};
/** The part of the rate that kernels are designed for, and seconds that a request takes under load. */
const [designed, latency] = [0.85, 0.7e-6];

const compiler = findCompiler();
if (compiler.missing) {
  console.log(`CUDA kernels skipped: ${compiler.missing}`);
  process.exit(0);
}
let resources;
let texts;
try {
  resources = await buildImages(compiler);
  texts = await buildPtx(compiler);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

/** What is wrong with what an entry takes on one architecture. */
function entryProblems(threads, { registers, shared, stack, spills }) {
  const taken = Math.ceil(registers / registerStep) * registerStep * threads;
  return [
    spills > 0 && `spills ${spills} bytes of registers`,
    stack > 0 && `has a stack of ${stack} bytes`,
    taken > registerLimit &&
      `takes ${taken} registers a block (${threads} threads of ${registers}), ${registerLimit} exist`,
    shared > sharedLimit && `declares ${shared} bytes of shared memory, over ${sharedLimit} must be dynamic`,
  ].filter(Boolean);
}

/** What a PTX text must not hold, and why. */
const forbidden = [
  [
    /^\s*(?:\.visible |\.weak |\.extern )*\.func\b/m,
    'calls a function that was not inlined, or one of the device runtime',
  ],
  [/^\s*(?:\.visible |\.weak |\.extern )*\.global\b/m, 'has a global variable'],
  [
    /\b(?:atom|red)\.[\w.]*\.(?:f16|f16x2|bf16|bf16x2|f32|f64)\b/,
    'counts floating-point numbers atomically: sums in an order of chance',
  ],
];

/** Whether a multiprocessor has bytes enough under way (Little's law) with so many of each thread that its registers allow at once. */
function movementProblems(bytes, entry, { threads, architectures }) {
  return Object.entries(architectures).flatMap(([target, { registers }]) => {
    const { rate, threads: most } = multiprocessors[target];
    const taken = Math.ceil(registers / registerStep) * registerStep * threads;
    const blocks = Math.min(Math.floor(most / threads), Math.floor(registerLimit / taken));
    const [underWay, needed] = [blocks * threads * bytes, Math.round(designed * rate * latency)];
    return underWay >= needed ? [] : [`${entry} on ${target} has ${underWay} bytes under way, ${needed} are needed`];
  });
}

/** What is wrong with `// @moves BYTES entry…`: bytes that each thread of these entries, of any format, has under way. */
function promisedMovements(source, name) {
  return promisesOf(source, 'moves').flatMap(([bytes, ...kernels]) =>
    kernels.flatMap((kernel) => {
      const entries = Object.entries(resources[name]).filter(
        ([entry]) => entry.replace(/_(?:f32|bf16)$/, '') === kernel,
      );
      if (entries.length === 0) return [`${source}: there is no entry ${kernel} that could move bytes`];
      return entries.flatMap(([entry, taken]) =>
        movementProblems(Number(bytes), entry, taken).map((problem) => `${source}: ${problem}`),
      );
    }),
  );
}

/** The words of each line `// @kind word word …` of a source. */
function promisesOf(source, kind) {
  const lines = readFileSync(join(root, source), 'utf8').matchAll(new RegExp(`^// @${kind} (.+)$`, 'gm'));
  return [...lines].map(([, list]) => list.trim().split(/\s+/));
}

function imageProblems(source, name) {
  const ptx = readFileSync(texts.get(name), 'utf8');
  const promises = promisesOf(source, 'promises').flat();
  const instructions = new Set(
    ptx.match(/^\s*(?:@!?%p\d+ )?[a-z][\w.:]*(?=\s)/gm)?.map((word) => word.trim().split(' ').at(-1)),
  );
  const has = (promise) => [...instructions].some((word) => matches(word, promise));
  return [
    ...promises.filter((promise) => !has(promise)).map((promise) => `${source}: promises ${promise}, its PTX has none`),
    ...promisedMovements(source, name),
    ...forbidden.filter(([pattern]) => pattern.test(ptx)).map(([, why]) => `${source}: ${why}`),
    ...Object.entries(resources[name]).flatMap(([entry, { threads, architectures }]) => {
      const bounds =
        threads < 1 || threads > threadLimit
          ? [`${source}: ${entry} needs launch bounds, 1 … ${threadLimit} threads`]
          : [];
      const taken = Object.entries(architectures).flatMap(([target, taken]) =>
        entryProblems(threads, taken).map((problem) => `${source}: ${entry} on ${target} ${problem}`),
      );
      return [...bounds, ...taken];
    }),
  ];
}

/** Whether an instruction (`ld.global.nc.v4.f32`) has the parts of a promise (`ld.global.v4`) in their order. */
function matches(instruction, promise) {
  const parts = instruction.split(/\.|::/);
  let from = 0;
  return promise.split('.').every((part) => {
    from = parts.indexOf(part, from) + 1;
    return from > 0;
  });
}

/** `cuda/checks/*.cu` compare what is declared without CUDA with CUDA's own declarations; compiling them is the check. */
function declarationProblems(source) {
  const flags = ['-std=c++17', '-Werror', 'all-warnings', '-I', 'native', '-ptx', '-o', '/dev/null'];
  const { status, output } = run(compiler.nvcc, [...flags, source]);
  return status === 0 ? [] : [`${source}: ${output.trim()}`];
}

const checked = sources().map((source) => ({ source, name: source.replace(/^.*\/|\.cu$/g, '') }));
const problems = [
  ...checked.flatMap(({ source, name }) => imageProblems(source, name)),
  ...filesIn('cuda/checks', /\.cu$/).flatMap(declarationProblems),
];
const bytes = checked.reduce((sum, { name }) => sum + statSync(join(imageFolder, `${name}.fatbin`)).size, 0);
if (bytes > imageLimit) problems.push(`the images have ${bytes} bytes, over ${imageLimit}`);
const entries = Object.values(resources).reduce((sum, image) => sum + Object.keys(image).length, 0);
finish(problems, `${entries} entries of ${checked.length} CUDA images, ${(bytes / 2 ** 20).toFixed(2)} MiB`);
