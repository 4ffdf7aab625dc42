import { pathToFileURL } from 'node:url';
import { energyDistance } from '@diffuse/core';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Judgement, judge } from '../lib/judge.ts';
import { randomSource } from '../lib/random.ts';
import { runAsScript } from '../lib/script.ts';

/** Points [count, 2] of a normal law around (x, 0). */
function cloud(count: number, seed: number, x = 0): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: 2 * count }, (_, i) => random.normal() + (i % 2 === 0 ? x : 0));
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('judge', () => {
  test('the floor is the mean distance of two halves, over all ways to halve the data', async () => {
    const [count, half] = [8, 4];
    const data = cloud(count, 1);
    const distances: number[] = [];
    for (let way = 0; way < 2 ** count; way++) {
      const halves: [number[], number[]] = [[], []];
      for (let i = 0; i < count; i++) halves[((way >> i) & 1) as 0 | 1].push(data[2 * i] ?? 0, data[2 * i + 1] ?? 0);
      if (halves[0].length !== 2 * half) continue;
      const [a, b] = halves.map((points) => ({
        data: Float32Array.from(points),
        shape: [half, 2] as [number, number],
      }));
      if (a && b) distances.push(await energyDistance(a, b));
    }
    expect(distances).toHaveLength(70);
    const { floor } = await judge(data, data, 2);
    expect(Math.abs(floor / mean(distances) - 1)).toBeLessThan(1e-6);
    // A single way says little.
    expect(Math.min(...distances) / floor).toBeLessThan(0.8);
    expect(Math.max(...distances) / floor).toBeGreaterThan(1.5);
  });

  test('samples of the law of the data have a ratio of about 1, and others a larger one', async () => {
    const ratios = async (x: number): Promise<number[]> => {
      const judged = Array.from({ length: 20 }, (_, seed) => judge(cloud(200, seed), cloud(400, 100 + seed, x), 2));
      return (await Promise.all(judged)).map(({ ratio }) => ratio);
    };
    expect(Math.abs(mean(await ratios(0)) - 1)).toBeLessThan(0.1);
    for (const ratio of await ratios(0.5)) expect(ratio).toBeGreaterThan(1.5);
  });
});

describe('an example as a script', () => {
  const [path, started] = ['/example.ts', process.argv[1]];
  const url = pathToFileURL(path).href;
  const result = (ratio: number) => async (): Promise<Judgement> => ({ distance: ratio, floor: 1, ratio });

  afterEach(() => {
    vi.restoreAllMocks();
    process.argv[1] = started ?? '';
    process.exitCode = undefined;
  });

  test.each([
    [1.5, undefined],
    [1.501, 1],
    [Number.NaN, 1],
  ])('of ratio %d has the exit code %s', async (ratio, code) => {
    const [out, error] = [vi.spyOn(console, 'log').mockReturnValue(), vi.spyOn(console, 'error').mockReturnValue()];
    process.argv[1] = path;
    await runAsScript(url, result(ratio));
    expect(process.exitCode).toBe(code);
    expect(out.mock.calls.flat()).toContain(`ratio: ${ratio}`);
    expect(error.mock.calls).toHaveLength(code ?? 0);
  });

  test('does not run when it is imported', async () => {
    const run = vi.fn(result(2));
    await runAsScript(url, run);
    expect(run).not.toHaveBeenCalled();
    expect(process.exitCode).toBeUndefined();
  });
});
