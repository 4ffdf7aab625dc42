import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
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
  ...{ kernel: 'k', shape: '', flops: 0, computed: 0, bytes: 0, matrixUnit: true, launches: [launch], scratchBytes: 0 },
};
const resources = () => ({ registers: 64, sharedBytes: 0 });

test('what moves bytes alone takes them at the designed bandwidth', () => {
  const { ms, bound, waves } = predict({ ...call, bytes: 2039e6 * designed.memory }, a100, resources);
  expect({ bound, waves }).toEqual({ bound: 'memory', waves: 1 });
  expect(ms).toBeCloseTo(1 + 1.5e-3, 9);
});

test('what goes through scratch is written and read besides', () => {
  const flops = 312e9 * designed.compute;
  const { ms } = predict({ ...call, flops, scratchBytes: (2039e6 * designed.memory) / 2 }, a100, resources);
  expect(ms).toBeCloseTo(2 + 1.5e-3, 9);
});

test('what multiplies takes the designed part of the peak, and as long for a wave that is begun', () => {
  const flops = 312e9 * designed.compute;
  expect(predict({ ...call, flops }, a100, resources)).toMatchObject({ bound: 'compute', waves: 1 });
  expect(predict({ ...call, flops }, a100, resources).ms).toBeCloseTo(1 + 1.5e-3, 9);
  const half = predict({ ...call, flops, launches: [{ ...launch, blocks: 648 }] }, a100, resources);
  expect(half.waves).toBeCloseTo(1.5, 12);
  expect(half.ms).toBeCloseTo(2 / 1.5 + 1.5e-3, 9);
  expect(predict({ ...call, flops, matrixUnit: false }, a100, resources).ms).toBeCloseTo(312 / 19.5 + 1.5e-3, 9);
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

test('an unknown GPU is refused with the names of those that are known', () => {
  expect(() => selectGpus(['a100', 'gtx280'])).toThrow(`'gtx280'; there are ${Object.keys(gpus).join(', ')}`);
});
