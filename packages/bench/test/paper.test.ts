import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { helpText, parsePaperArguments } from '../src/paper/arguments.ts';
import { type Gpu, gpus, selectGpus } from '../src/paper/gpus.ts';
import { readLaunches } from '../src/paper/launches.ts';
import { occupancy, residentBlocks } from '../src/paper/occupancy.ts';
import { paperText } from '../src/paper/paper-text.ts';
import { designed, type PaperCall, predict } from '../src/paper/predict.ts';

const [a100, rtx4090] = selectGpus(['a100', 'rtx4090']);
if (!a100 || !rtx4090) throw new Error('no such GPU');

test.each([
  ['registers', a100, { threads: 256, registers: 64, sharedBytes: 0 }, 4, 0.5],
  ['registers, in units of eight a thread', a100, { threads: 256, registers: 65, sharedBytes: 0 }, 3, 0.375],
  ['shared memory', a100, { threads: 128, registers: 32, sharedBytes: 48 * 1024 }, 3, 12 / 64],
  ['warps', rtx4090, { threads: 256, registers: 32, sharedBytes: 0 }, 6, 1],
  ['blocks', a100, { threads: 32, registers: 16, sharedBytes: 0 }, 32, 0.5],
  ['nothing fits', rtx4090, { threads: 256, registers: 32, sharedBytes: 160 * 1024 }, 0, 0],
] as const)('a multiprocessor holds blocks as its %s allow', (_, gpu, block, blocks, share) => {
  expect(residentBlocks(gpu, block)).toBe(blocks);
  expect(occupancy(gpu, block)).toBeCloseTo(share, 12);
});

const launch = { entry: 'e', blocks: 432, threads: 256, sharedBytes: 0 };
const call: PaperCall = {
  ...{ kernel: 'k', shape: '', flops: 0, computed: 0, bytes: 0, launches: [launch], scratchBytes: 0 },
};
const resources = () => ({ registers: 64, sharedBytes: 0 });

test('what moves bytes alone takes them at the designed bandwidth', () => {
  const { ms, bound, waves } = predict({ ...call, bytes: 2039e6 * designed.memory }, a100, resources);
  expect({ bound, waves }).toEqual({ bound: 'memory', waves: 1 });
  expect(ms).toBeCloseTo(1 + 1.5e-3, 9);
});

/** A call that multiplies for a millisecond at `peak` TFLOP/s, by so many blocks of an entry. */
const product = (entry: string, peak: number, blocks = 432) => {
  const flops = peak * 1e9 * designed.compute;
  return { ...call, flops, computed: flops, launches: [{ ...launch, entry, blocks }] };
};

test('what multiplies is the launch whose blocks take the most shared memory', () => {
  const [many, product] = [
    { ...launch, blocks: 4096 },
    { ...launch, threads: 128, sharedBytes: 49152 },
  ];
  expect(predict({ ...call, flops: 1, computed: 1, launches: [many, product] }, a100, resources).waves).toBeCloseTo(
    432 / (3 * 108),
    12,
  );
  expect(predict({ ...call, launches: [product, many] }, a100, resources).waves).toBeCloseTo(4096 / 432, 12);
});

test('what goes through scratch is written and read besides', () => {
  const passing = { ...product('e_bf16', 312), scratchBytes: (2039e6 * designed.memory) / 2 };
  expect(predict(passing, a100, resources).ms).toBeCloseTo(2 + 1.5e-3, 9);
});

test('few blocks cannot load as fast as memory delivers', () => {
  const few = { ...call, bytes: 64 * 1.41 * 3 * 1e6, launches: [{ ...launch, blocks: 3 }] };
  expect(predict(few, a100, resources).ms).toBeCloseTo(1 + 1.5e-3, 9);
});

test.each([
  ['bf16 by the matrix unit', 'conv2d_wide_bf16', 312],
  ['tf32 by the matrix unit, at half the rate', 'conv2d_tf32_wide_f32', 156],
  ['float32 by the vector units', 'conv2d_wide_f32', 19.5],
  ['bf16 of large heads by the vector units', 'attention_forward_vector_256_bf16', 19.5],
])('%s takes the designed part of that peak', (_, entry, peak) => {
  const prediction = predict(product(entry, peak), a100, resources);
  expect(prediction).toMatchObject({ bound: 'compute', waves: 1 });
  expect(prediction.ms).toBeCloseTo(1 + 1.5e-3, 9);
});

test.each([
  ['a wave that is begun takes as long as a whole one', 648, 2 / 1.5],
  ['multiprocessors without a block multiply nothing', 27, 4],
  ['multiprocessors with one block wait for those with two', 162, 2 / 1.5],
])('%s', (_, blocks, stretch) => {
  expect(predict(product('e_bf16', 312, blocks), a100, resources).ms).toBeCloseTo(stretch + 1.5e-3, 9);
});

test.each([
  ['attention_forward', 'attention_forward_matrix_64_bf16', 64, 312, 1],
  ['attention_forward', 'attention_forward_vector_256_f32', 512, 19.5, 3 / 2],
  ['attention_backward', 'attention_keys_matrix_64_bf16', 64, 312, 7 / 5],
  ['attention_backward', 'attention_keys_matrix_256_bf16', 256, 312, 9 / 5],
  ['attention_backward', 'attention_keys_vector_128_f32', 256, 19.5, 11 / 5],
])('%s by %s is counted with what it computes anew', (kernel, entry, headChannels, peak, repeated) => {
  const attention = { ...product(entry, peak), kernel, headChannels };
  expect(predict(attention, a100, resources).ms).toBeCloseTo(repeated + 1.5e-3, 9);
});

test('launches between two events belong to one call', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'launches-'));
  const [log, traffic] = [join(folder, 'log'), join(folder, 'traffic')];
  const calls = ['cuInit', 'cuEventRecord', 'cuLaunchKernel', 'cuMemsetD8Async', 'cuLaunchKernel', 'cuEventRecord'];
  calls.push('cuEventRecord', 'cuLaunchKernel');
  await writeFile(log, calls.map((call, i) => `${i + 1} ${call} CUDA_SUCCESS\n`).join(''));
  const line = { device: 0, kernel: 'e', grid: [54, 4, 2], block: [256, 1, 1], dynamic_shared_bytes: 0 };
  await writeFile(traffic, [line, line, { ...line, grid: [3, 1, 1] }].map((x) => `${JSON.stringify(x)}\n`).join(''));
  expect(await readLaunches(log, traffic)).toEqual([[launch, launch], [{ ...launch, blocks: 3 }]]);
  await rm(folder, { recursive: true });
});

test('a table has a row for each kernel and shape, and the sum of each GPU', () => {
  const copy = { ...call, kernel: 'copy', shape: '8x8', bytes: 2039e6 * designed.memory };
  const step = (gpu: Gpu) => ({ gpu, calls: [copy, { ...copy, shape: '2x2' }, copy], resourcesOf: resources });
  const text = paperText('step', [step(a100), step(rtx4090)]);
  expect(text).toContain('step: A100 SXM 80 GB 3.00 ms, RTX 4090 6.07 ms, predicted');
  expect(
    text
      .split('\n')
      .slice(4)
      .map((row) => row.split(/ {2,}/).slice(0, 3)),
  ).toEqual([
    ['copy 8x8', '2', '1.73e+3'],
    ['copy 2x2', '1', '1.73e+3'],
  ]);
});

test.each([
  [['--bogus'], "Unknown option '--bogus'; see pnpm cuda:paper --help"],
  [['shapes'], "Unexpected argument 'shapes'"],
  [['--gpus', 'a100,gtx280'], `there is no GPU 'gtx280'; there are ${Object.keys(gpus).join(', ')}`],
  [['--precision', 'fp16'], "--precision is 'fp16'; it must be fp32 or bf16 or bf16-fast"],
  [['--batch', '1.5'], "--batch is '1.5'; it must be an integer from 1 to 65536"],
])('%j is refused in a sentence', (args, sentence) => {
  expect(() => parsePaperArguments(args)).toThrow(sentence);
});

test('what is asked for, each GPU once', () => {
  const asked = parsePaperArguments(['--', '--gpus', 'h100,rtx5090,h100', '--batch', '8', '--precision', 'fp32']);
  expect(asked).toMatchObject({ help: false, gpus: ['h100', 'rtx5090'], precision: 'fp32', batch: 8 });
  expect(parsePaperArguments([])).toMatchObject({ precision: 'bf16', batch: undefined, resources: undefined });
  expect(helpText()).toMatch(/--gpus.*--precision.*--batch/s);
});

test('an unknown GPU is refused with the names of those that are known', () => {
  expect(() => selectGpus(['a100', 'gtx280'])).toThrow(`'gtx280'; there are ${Object.keys(gpus).join(', ')}`);
});
