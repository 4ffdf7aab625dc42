import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion, targets } from '../../src/diffusion/index.ts';
import { reshape, sliceChannels, type Value } from '../../src/graph/graph.ts';
import { attention } from '../../src/graph/ops/attention.ts';
import { divideSamples } from '../../src/graph/ops/divide-samples.ts';
import { add, multiply } from '../../src/graph/ops/elementwise.ts';
import { multiplySamples } from '../../src/graph/ops/multiply-samples.ts';
import { sumSamples } from '../../src/graph/ops/reductions.ts';
import { timeEmbedding } from '../../src/graph/ops/time-embedding.ts';
import type { Model } from '../../src/models/model.ts';
import { parameterTable } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { createSampler, type SamplerName, samplers } from '../../src/samplers/index.ts';
import { sample } from '../../src/samplers/sample.ts';
import { type Schedule, schedules } from '../../src/schedules/index.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const names = Object.keys(samplers) as SamplerName[];
const count = 400;
/** All of one length, so that no point is likelier than another where x is 0. */
const points = [0.3, 1.7, 3.1, 4.8].map((angle): [number, number] => [0.9 * Math.cos(angle), 0.9 * Math.sin(angle)]);

/** What the exact denoiser is told: the angle whose cosine is the signal and whose sine is the noise. */
const told = (alphaBar: number): number => Math.acos(Math.sqrt(alphaBar));

/**
 * The exact denoiser of a data set as a network on the device: points of one length, weighted by softmax(signal x . x_i / noise^2), which
 * is attention to them.
 */
async function exactModel(predict: 'eps' | 'v'): Promise<Model> {
  const parameters = [{ name: 'points', shape: [count, 2], layout: 'plain' as const }];
  const table = parameterTable(parameters);
  const buffer = device.allocate(4 * table.size);
  const rows = Array.from({ length: count }, (_, i) => points[i % points.length] as [number, number]);
  await buffer.write(0, Float32Array.from(rows.flat()));
  return {
    shape: [2],
    classes: null,
    nullClass: null,
    frozen: new Set(),
    parameters,
    weights: { device, table, parameters: buffer, ema: undefined },
    forward({ x, t, parameter }) {
      const tokens = (value: Value): Value => reshape(value, [1, count, 2]);
      const angle = timeEmbedding(t, { dimension: 2 });
      const noise = sumSamples(sliceChannels(angle, 0, 1));
      const signal = sumSamples(sliceChannels(angle, 1, 1));
      const loud = multiplySamples(x, signal);
      const keys = tokens(parameter('points'));
      const queries = tokens(divideSamples(loud, multiply(noise, noise)));
      const x0 = reshape(attention(queries, keys, keys, { scale: 1 }), x.shape);
      // eps = (x - signal x0) / noise,   v = signal eps - noise x0 = (signal x - x0) / noise
      return predict === 'eps'
        ? divideSamples(add(x, multiplySamples(x0, signal), { beta: -1 }), noise)
        : divideSamples(add(loud, x0, { beta: -1 }), noise);
    },
  };
}

/** How far each sample is from the data, and how many are nearest to each point. */
function nearest(samples: Float32Array): { distances: number[]; counts: number[] } {
  const counts = points.map(() => 0);
  const distances = Array.from({ length: count }, (_, i) => {
    const to = points.map(([x, y]) => Math.hypot((samples[2 * i] as number) - x, (samples[2 * i + 1] as number) - y));
    const least = Math.min(...to);
    const index = to.indexOf(least);
    counts[index] = (counts[index] as number) + 1;
    return least;
  });
  return { distances, counts };
}

describe('samplers as they come end at the data, whatever the schedule', () => {
  const processes = Object.values(schedules).map((entry) => entry.create({ steps: 1000 }));
  const cases = names.flatMap((name) =>
    processes.map((schedule): [SamplerName, string, Schedule] => [name, schedule.name, schedule]),
  );

  test.each(cases)('%s, %s', async (name, _, schedule) => {
    // Twenty steps may leave a path between two points, or past one; fifty leave none.
    const runs = [
      { predict: 'v', steps: 20, largest: Infinity },
      { predict: 'eps', steps: 50, largest: 1e-3 },
    ] as const;
    for (const { predict, steps, largest } of runs) {
      const diffusion = gaussianDiffusion({ schedule, predict: { ...targets[predict], told } });
      const model = await exactModel(predict);
      const sampler = createSampler(name, { steps, spacing: samplers[name].spacing });
      const { images } = await sample({ model, diffusion, device, sampler, count, batchSize: count, seed: 3 });
      const { distances, counts } = nearest(images);
      expect(distances.reduce((sum, distance) => sum + distance) / count).toBeLessThan(0.03);
      expect(Math.max(...distances)).toBeLessThan(largest);
      // Five standard deviations of a count of chance 1/4.
      for (const found of counts) expect(Math.abs(found - count / 4)).toBeLessThan(5 * Math.sqrt((count * 3) / 16));
    }
  });
});
