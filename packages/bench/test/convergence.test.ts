import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDevice } from '@diffuse/core';
import { expect, test } from 'vitest';
import { buildTask } from '../../cli/src/run/task.ts';
import { resolveSettings } from '../../cli/src/settings/resolve.ts';
import { lastLoss, modeLosses } from '../src/convergence/convergence.ts';
import { type Mode, modes } from '../src/convergence/modes.ts';
import { convergencePicture } from '../src/convergence/picture.ts';
import { type ConvergenceRecord, convergenceRecord, withTable } from '../src/convergence/record.ts';
import { RunStore, type TrainedRun } from '../src/convergence/run-store.ts';
import { trainRun } from '../src/convergence/train-run.ts';
import { mnistTraining } from '../src/ours/mnist-training.ts';
import { noiseImages } from '../src/ours/train-session.ts';

test('the training is that of the preset mnist, bit for bit', async () => {
  using device = await openDevice('cpu', { threads: 1 });
  const data = { ...noiseImages([28, 28, 1], 64) };
  const { settings } = resolveSettings({ preset: 'mnist', settings: { seed: 3 } });
  const task = buildTask(settings, data as unknown as Parameters<typeof buildTask>[1], device);
  const losses = async (steps: AsyncIterable<{ readonly loss: number }>): Promise<number[]> => {
    const found: number[] = [];
    for await (const { loss } of steps) found.push(loss);
    return found;
  };
  const preset = await losses(task.train({ steps: 4, resume: undefined }));
  expect(preset).toHaveLength(4);
  expect(await losses(mnistTraining(device, { data, steps: 4, seed: 3 }))).toEqual(preset);
});

/** Losses that fall; those of mode i end i per cent above the first, half a per cent more with the second seed. */
function runs(): TrainedRun[] {
  const steps = 50;
  return modes.flatMap(({ key }, i) =>
    [0, 1].map((seed) => {
      const last = (1 + seed) * (1 + i / 100 + (i > 0 ? seed / 200 : 0));
      const loss = Array.from({ length: steps }, (_, step) => (step < 40 ? 2 + 1 / (step + 1) : last));
      return { mode: key, seed, device: 'cpu', ms: 1, peakBytes: 1, loss };
    }),
  );
}

test('a mode is held against the reference seed by seed, and on the whole', () => {
  const [reference, fp32, bf16] = modeLosses(runs(), 10);
  expect(reference).toMatchObject({ mode: 'fp32, direct', difference: 0 });
  expect(reference?.loss).toBeCloseTo(1.5, 12);
  expect(fp32?.bySeed.map(({ difference }) => difference)).toEqual([expect.closeTo(0.01, 9), expect.closeTo(0.015, 9)]);
  // Losses of the second seed are twice as large.
  expect(fp32?.difference).toBeCloseTo((0.01 + 2 * 0.015) / 3, 9);
  expect(bf16?.mode).toBe('bf16');
  expect(lastLoss(runs()[0] as TrainedRun, 20)).toBeCloseTo((10 * (2 + 1 / 35.5) + 10) / 20, 2);
});

test('runs are kept as files and forgotten', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-test-'));
  try {
    const store = new RunStore(join(folder, 'runs'));
    const [run] = runs() as [TrainedRun];
    expect(await store.find(run.mode, run.seed)).toBeUndefined();
    await store.keep(run);
    expect(readdirSync(join(folder, 'runs'))).toEqual(['fp32-direct-0.json']);
    expect(await store.find(run.mode, run.seed)).toEqual(run);
    await store.clear();
    expect(await store.find(run.mode, run.seed)).toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a run that was kept counts as long as its first steps come out the same', async () => {
  using device = await openDevice('cpu', { threads: 1 });
  const options = { device, data: noiseImages([28, 28, 1], 64), mode: modes[1] as Mode, seed: 0, steps: 2 };
  const run = await trainRun(options, undefined);
  expect(run).toMatchObject({ mode: 'fp32', seed: 0, device: device.name });
  expect(run.loss).toHaveLength(2);
  const kept = { ...run, ms: 12345 };
  expect(await trainRun(options, kept)).toBe(kept);
  for (const loss of [[run.loss[0] as number, 0], run.loss.slice(1)]) {
    expect((await trainRun(options, { ...kept, loss })).loss).toEqual(run.loss);
  }
});

const about = { commit: 'abc', date: '2026-01-01', steps: 50, averaged: 10, limit: 0.01 };
const record = convergenceRecord({ ...about, machine: {} as ConvergenceRecord['machine'] }, runs());

test('a page gets the table between its marks, and again', () => {
  const page = 'before\n\n<!-- convergence: begin -->\n\n<!-- convergence: end -->\n\nafter\n';
  const filled = withTable(page, record);
  expect(filled.split('\n').slice(4, 8)).toEqual([
    '| mode         | loss of the last 10 steps | off fp32, direct | seed by seed     |',
    '| ------------ | ------------------------- | ---------------- | ---------------- |',
    '| fp32, direct | 1.50000                   | 0.00 %           | 0.00 %, 0.00 %   |',
    '| fp32         | 1.52000                   | +1.33 %          | +1.00 %, +1.50 % |',
  ]);
  expect(withTable(filled, record)).toBe(filled);
  expect(withTable('without marks', record)).toBe('without marks');
});

test('the picture names each mode once, with a curve a seed and their mean', () => {
  const picture = convergencePicture(record.runs, 5);
  for (const { name } of modes) expect(picture.split(`>${name}<`)).toHaveLength(2);
  expect(picture.match(/stroke-opacity/g)).toHaveLength(2 * modes.length * 2);
});
