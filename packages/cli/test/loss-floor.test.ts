import { join } from 'node:path';
import { dataPoints, idealLoss } from '@diffuse/core';
import { imageFolder } from '@diffuse/data';
import { beforeAll, expect, test } from 'vitest';
import { jsonLines, run, temporaryFolder, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;
let common: readonly string[];

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'));
  const cache = ['--cache-dir', join(folder, 'cache')];
  const out = join(folder, 'run');
  const flags = [...tinyModel, '--timesteps=40', '--steps=6', '--quiet', ...cache];
  expect((await run('train', '--data', photos, '--out', out, ...flags)).code).toBe(0);
  common = ['--model', out, '--data', photos, ...cache, '--metrics=loss'];
});

interface FloorLevel {
  readonly sigma: number;
  readonly eps: { readonly mean: number };
  readonly floor?: number;
  readonly gap?: { readonly mean: number };
}

async function lossEvent(...flags: string[]): Promise<{ floorImages: number; levels: FloorLevel[] }> {
  const { stdout, code } = await run('evaluate', ...common, '--images=24', '--timesteps=4', '--json', ...flags);
  expect(code).toBe(0);
  return jsonLines(stdout).find(({ event }) => event === 'loss-by-level') as never;
}

test('the floor is the loss of the ideal denoiser of these images, the gap what the model has more', async () => {
  const { floorImages, levels } = await lossEvent();
  expect(floorImages).toBe(24);
  using data = await imageFolder(photos, { cacheDirectory: join(folder, 'cache') });
  const sigmas = levels.map(({ sigma }) => sigma);
  const ideal = await idealLoss({ ...(await dataPoints(data)), sigmas, draws: 400 });
  for (const [k, { eps, floor = Number.NaN, gap }] of levels.entries()) {
    const { mean, standardError } = ideal[k]?.eps ?? { mean: Number.NaN, standardError: Number.NaN };
    // 32 draws against 400; the second term is for levels at which no draw is in doubt.
    expect(Math.abs(floor - mean)).toBeLessThan(5 * standardError * Math.sqrt(400 / 32) + 1e-9);
    expect(gap?.mean).toBe(eps.mean - floor);
    // A model of six steps knows nothing yet.
    expect(eps.mean).toBeGreaterThan(floor);
  }
});

test('no floor: two columns less, and none in the event', async () => {
  const { floorImages, levels } = await lossEvent('--floor-images=0');
  expect(floorImages).toBe(0);
  expect(levels[0]).not.toHaveProperty('floor');
  const { stdout } = await run('evaluate', ...common, '--images=4', '--timesteps=2', '--floor-images=0');
  expect(stdout).toMatch(/^loss over 4 images\n\nt +sigma +loss of eps +loss of x0 +loss in training\n/);
});
