import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openMetricsLog } from '../src/run/metrics-log.ts';
import { temporaryFolder } from './helpers.ts';

const line = (step: number): string => `{"step":${step},"loss":0.5,"gradientNorm":1,"learningRate":0.1}\n`;
const progress = (step: number) => ({
  step,
  loss: 0.5,
  gradientNorm: 1,
  learningRate: 0.1,
  outputs: {},
  imagesPerSecond: Math.random(),
  timeMs: Math.random(),
});

test.each([
  ['later steps', line(1) + line(2) + line(3), 2, line(1) + line(2)],
  ['half a line', line(1) + line(2).slice(0, 9), 2, line(1)],
  ['everything of a run that begins again', line(1) + line(2), 0, ''],
  ['lines that are no metrics', `${line(1)}nonsense\n${line(2)}`, 2, line(1)],
])('opening cuts off %s', async (_what, before, step, after) => {
  const path = join(await temporaryFolder(), 'metrics.jsonl');
  await writeFile(path, before);
  const log = await openMetricsLog(path, step);
  expect(await readFile(path, 'utf8')).toBe(after);
  log.add(progress(step + 1));
  await log.flush();
  expect(await readFile(path, 'utf8')).toBe(after + line(step + 1));
  await log.close();
});

const judged = (step: number): string => `{"step":${step},"evaluation":{"loss":0.25}}\n`;

test.each([
  ['is kept with its step', line(1) + judged(1) + line(2), 1, line(1) + judged(1), true],
  ['is kept between steps', line(1) + judged(1) + line(2) + line(3), 2, line(1) + judged(1) + line(2), false],
  ['is cut off where it is half', line(1) + judged(1).slice(0, 20), 1, line(1), false],
  ['is cut off where it is of another step', line(1) + judged(2) + line(2), 2, line(1), false],
  ['is cut off where it comes twice', line(1) + judged(1) + judged(1) + line(2), 2, line(1) + judged(1), false],
])('an evaluation %s', async (_what, before, step, after, evaluated) => {
  const path = join(await temporaryFolder(), 'metrics.jsonl');
  await writeFile(path, before);
  const log = await openMetricsLog(path, step);
  expect(await readFile(path, 'utf8')).toBe(after);
  expect(log.evaluated).toBe(evaluated);
  await log.close();
});

test('lines wait for one whose place is reserved', async () => {
  const path = join(await temporaryFolder(), 'metrics.jsonl');
  const log = await openMetricsLog(path, 0);
  log.add(progress(1));
  const first = log.reserve();
  log.add(progress(2));
  const second = log.reserve();
  log.add(progress(3));
  await log.flush();
  expect(await readFile(path, 'utf8')).toBe(line(1));
  first({ step: 1, evaluation: { loss: 0.25 } });
  await log.flush();
  expect(await readFile(path, 'utf8')).toBe(line(1) + judged(1) + line(2));
  second(undefined);
  await log.close();
  expect(await readFile(path, 'utf8')).toBe(line(1) + judged(1) + line(2) + line(3));
});

test('many lines arrive in order', async () => {
  const path = join(await temporaryFolder(), 'metrics.jsonl');
  const log = await openMetricsLog(path, 0);
  const steps = Array.from({ length: 5000 }, (_, i) => i + 1);
  for (const step of steps) log.add(progress(step));
  await log.close();
  expect(await readFile(path, 'utf8')).toBe(steps.map(line).join(''));
});

test('a file that cannot be written is named', async () => {
  const path = join(await temporaryFolder(), 'missing', 'metrics.jsonl');
  await expect(openMetricsLog(path, 0)).rejects.toThrow(/cannot write .*metrics.jsonl: ENOENT/);
});
