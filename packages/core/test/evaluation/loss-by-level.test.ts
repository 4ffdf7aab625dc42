import { afterAll, beforeAll, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import { idealLoss } from '../../src/evaluation/ideal-denoiser.ts';
import { gaussianLossFloor, type LossByLevelOptions, lossByLevel } from '../../src/evaluation/loss-by-level.ts';
import { scale } from '../../src/graph/ops/elementwise.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { angleDiffusion, floatDataset, gaussianModel, gaussianSamples, mixingAxes } from './gaussian-model.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const diffusion = angleDiffusion(linearSchedule());
const law = { variances: [0.25, 0.04, 1.3], axes: mixingAxes(3) };
const shape = [2, 2, 3];
const values = gaussianSamples(law, { count: 500, pixels: 4, seed: 1 });
const data = floatDataset(values, shape);
const floor = (sigma: number): number => gaussianLossFloor(law.variances, sigma);

async function options(changes: Partial<LossByLevelOptions> = {}): Promise<LossByLevelOptions> {
  return { model: await gaussianModel(device, law, shape), diffusion, data, device, floor, ...changes };
}

test('the exact denoiser of Gaussian data sits on the floor', async () => {
  const { levels, count } = await lossByLevel(await options());
  expect([count, levels.length, levels[0]?.t, levels.at(-1)?.t]).toEqual([500, 20, 0, 999]);
  for (const { t, sigma, eps, x0, prediction, floor: least, weight } of levels) {
    expect(Math.abs(eps.mean - (least as number)), `t = ${t}`).toBeLessThan(4 * eps.standardError);
    expect(eps.standardError).toBeLessThan(0.05 * eps.mean);
    // The same error in the other units.
    expect(x0.mean).toBeCloseTo(eps.mean * sigma * sigma, 10);
    expect(prediction.mean / (eps.mean * (1 + sigma * sigma))).toBeCloseTo(1, 10);
    expect(weight).toBe(1);
  }
});

test('a worse denoiser lies above it at every level', async () => {
  const { model, ...rest } = await options();
  const worse = {
    ...model,
    forward: (inputs: Parameters<typeof model.forward>[0]) => scale(model.forward(inputs), 0.5),
  };
  const best = await lossByLevel({ ...rest, model, timesteps: [100, 300, 600] });
  const found = await lossByLevel({ ...rest, model: worse, timesteps: [100, 300, 600] });
  for (const [k, { eps }] of found.levels.entries())
    expect(eps.mean).toBeGreaterThan(best.levels[k]?.eps.mean as number);
});

test('a network that says 0 has the loss 1', async () => {
  const { model } = await options();
  const silent = {
    ...model,
    forward: (inputs: Parameters<typeof model.forward>[0]) => scale(model.forward(inputs), 0),
  };
  const eps = gaussianDiffusion({ schedule: linearSchedule() });
  const { levels } = await lossByLevel(await options({ model: silent, diffusion: eps, timesteps: 3 }));
  for (const level of levels) {
    expect(Math.abs(level.eps.mean - 1)).toBeLessThan(4 * level.eps.standardError);
    expect(level.prediction.mean).toBeCloseTo(level.eps.mean, 12);
  }
});

test('nothing is better on a finite set than the ideal denoiser', async () => {
  const few = floatDataset(values.slice(0, 12 * 40), shape);
  const timesteps = [50, 200, 400, 700];
  const found = await lossByLevel(await options({ data: few, timesteps, floor: undefined }));
  const sigmas = found.levels.map(({ sigma }) => sigma);
  const ideal = await idealLoss({ points: values.subarray(0, 12 * 40), dimensions: 12, sigmas, draws: 400 });
  for (const [k, { eps, floor: none }] of found.levels.entries()) {
    const least = ideal[k]?.eps as { mean: number; standardError: number };
    expect(none).toBeUndefined();
    expect(least.mean).toBeLessThan(eps.mean + 4 * Math.hypot(eps.standardError, least.standardError));
  }
  // At low noise it knows the points by heart, which no Gaussian does.
  expect(ideal[0]?.eps.mean).toBeLessThan(0.1 * (found.levels[0]?.eps.mean as number));
});

test('the noise depends on neither the batches nor the other levels', async () => {
  const whole = await lossByLevel(await options({ count: 20, timesteps: [3, 500, 900] }));
  const part = await lossByLevel(await options({ count: 20, timesteps: [500], batchSize: 3 }));
  expect(part.levels[0]).toEqual(whole.levels[1]);
});

test('wrong options are refused, and a run stops when told', async () => {
  const refusal = async (wrong: object): Promise<string> =>
    lossByLevel(await options(wrong)).then(
      () => 'accepted',
      (error: Error) => error.message,
    );
  expect(await refusal({ timesteps: 0 })).toBe('timesteps of the loss must be an integer from 1 to 1000, got 0');
  expect(await refusal({ timesteps: [5, 1000] })).toBe('timestep t must be an integer from 0 to 999, got 1000');
  const controller = new AbortController();
  const stopped = lossByLevel(await options({ signal: controller.signal, onProgress: () => controller.abort() }));
  await expect(stopped).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
});
