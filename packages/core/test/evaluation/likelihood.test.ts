import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Diffusion } from '../../src/diffusion/index.ts';
import { continuousGaussian } from '../../src/evaluation/gaussian-probability.ts';
import { type BitsPerDimensionOptions, bitsPerDimension, stretchesOf } from '../../src/evaluation/likelihood.ts';
import { boundTermNats, priorNats, reverseLogVariance } from '../../src/evaluation/variational-bound.ts';
import { concatChannels } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import type { Model } from '../../src/models/model.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { normals, uniforms } from '../random/normal.ts';
import {
  angleDiffusion,
  byteDataset,
  floatDataset,
  gaussianModel,
  gaussianSamples,
  identityAxes,
} from './gaussian-model.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const steps = 40;
const diffusion = angleDiffusion(linearSchedule({ steps, betaStart: 2.5e-3, betaEnd: 0.5 }));
const law = { variances: [0.25, 0.04, 1.3], axes: identityAxes(3) };
const shape = [2, 2, 3];
const data = floatDataset(gaussianSamples(law, { count: 600, pixels: 4, seed: 1 }), shape);

/** The exact bound in bits per dimension; see variational-bound.test.ts for the four points. */
function exactBound(
  process: Diffusion,
  variances: readonly number[],
): { prior: number; diffusion: number; reconstruction: number } {
  const sums = { prior: 0, diffusion: 0, reconstruction: 0 };
  const toBits = 1 / (4 * variances.length * Math.LN2);
  for (const variance of variances) {
    const x0 = Float64Array.from([-1, -1, 1, 1], (sign) => sign * Math.sqrt(variance));
    const eps = Float64Array.of(-1, 1, -1, 1);
    sums.prior += priorNats(process, x0) * toBits;
    for (let t = 0; t < process.steps; t++) {
      const alphaBar = process.alphaBarAt(t);
      const gain = (Math.sqrt(alphaBar) * variance) / (alphaBar * variance + 1 - alphaBar);
      const predictedX0 = process.qSample(x0, t, eps).map((xt) => gain * xt);
      const logVariance = reverseLogVariance(process, t, { variance: 'fixed-large' });
      const term = { t, x0, predictedX0, logVariance, reconstruction: continuousGaussian() };
      sums[t === 0 ? 'reconstruction' : 'diffusion'] += boundTermNats(process, term) * toBits;
    }
  }
  return sums;
}

describe('the variational bound of a network', () => {
  let options: BitsPerDimensionOptions;
  beforeAll(async () => {
    options = { model: await gaussianModel(device, law, shape), diffusion, data, device };
  });

  test('has the exact parts for Gaussian data', async () => {
    const found = await bitsPerDimension(options);
    const exact = exactBound(diffusion, law.variances);
    for (const part of ['prior', 'diffusion', 'reconstruction'] as const) {
      expect(Math.abs(found[part].mean - exact[part]), part).toBeLessThan(4 * found[part].standardError);
    }
    expect(found.diffusion.standardError).toBeLessThan(0.02 * exact.diffusion);
    const { prior, reconstruction } = found;
    expect(found.total.mean).toBeCloseTo(prior.mean + found.diffusion.mean + reconstruction.mean, 12);
    expect([found.count, found.dimensions, found.stretches.length]).toEqual([600, 12, steps]);
    const sum = found.stretches.reduce((total, { bitsPerDimension: bits }) => total + bits.mean, 0);
    expect(sum).toBeCloseTo(found.diffusion.mean + reconstruction.mean, 10);
  });

  test('stays unbiased with a few timesteps of each sample', async () => {
    const whole = exactBound(diffusion, law.variances);
    const found = await bitsPerDimension({ ...options, timesteps: 8 });
    expect(found.stretches).toHaveLength(8);
    expect(Math.abs(found.diffusion.mean - whole.diffusion)).toBeLessThan(4 * found.diffusion.standardError);
    expect(found.diffusion.standardError).toBeLessThan(0.1 * whole.diffusion);
  });

  test('does not depend on the size of the batches', async () => {
    const small = await bitsPerDimension({ ...options, count: 30, timesteps: 10, batchSize: 7 });
    const large = await bitsPerDimension({ ...options, count: 30, timesteps: 10, batchSize: 30 });
    expect(small).toEqual(large);
    const other = await bitsPerDimension({ ...options, count: 30, timesteps: 10, seed: 1 });
    expect(other.total.mean).not.toBe(large.total.mean);
  });

  test('of bytes that are pure noise is above eight bits', async () => {
    const bytes = Uint8Array.from(uniforms(1, 200 * 12), (u) => Math.floor(256 * u));
    const variance = (256 ** 2 - 1) / 12 / 127.5 ** 2;
    const model = await gaussianModel(device, { variances: [variance], axes: [1] }, [3, 4, 1]);
    const { total } = await bitsPerDimension({ model, diffusion, data: byteDataset(bytes, [3, 4, 1]), device });
    expect(total.mean).toBeGreaterThan(8);
    // Cross entropy of uniform numbers and the Gaussian of their variance: 8 + 0.25 bits; the rest is the bound's gap.
    expect(total.mean).toBeLessThan(9);
  });

  test('of bytes of a Gaussian is the entropy and little more', async () => {
    const variance = 0.09;
    const fine = angleDiffusion(linearSchedule({ steps: 400, betaStart: 2.5e-4, betaEnd: 0.05 }));
    const bytes = Uint8Array.from(normals(2, 300 * 12), (z) => Math.round((0.3 * z + 1) * 127.5));
    const model = await gaussianModel(device, { variances: [variance], axes: [1] }, [3, 4, 1]);
    const data = byteDataset(bytes, [3, 4, 1]);
    const { total } = await bitsPerDimension({ model, diffusion: fine, data, device, lastVariance: 'beta' });
    const entropy = 0.5 * Math.log2(2 * Math.PI * Math.E * variance) + Math.log2(127.5);
    expect(total.mean).toBeGreaterThan(entropy - 4 * total.standardError);
    expect(total.mean).toBeLessThan(entropy + 0.03);
  });

  test('takes variances from a network that predicts them', async () => {
    const { model } = options;
    // Says everywhere that the variance is the large one, or the small one.
    const saying = (v: number): Model => ({
      ...model,
      forward: (inputs) => concatChannels([model.forward(inputs), fill(inputs.x.graph, inputs.x.shape, v)]),
    });
    const run = (changes: Partial<BitsPerDimensionOptions>): Promise<{ diffusion: { mean: number } }> =>
      bitsPerDimension({ ...options, count: 20, ...changes });
    for (const [v, variance] of [
      [1, 'fixed-large'],
      [-1, 'fixed-small'],
    ] as const) {
      const learned = await run({ model: saying(v) });
      const fixed = await run({ variance });
      expect(learned.diffusion.mean).toBeCloseTo(fixed.diffusion.mean, 10);
    }
    await expect(run({ variance: 'learned-range' })).rejects.toThrow('the model does not predict its variance');
  });

  test('reports how far it is and stops when told', async () => {
    const seen: string[] = [];
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      seen.push(`${done} of ${total}`);
    };
    await bitsPerDimension({ ...options, count: 10, batchSize: 5, timesteps: 3, onProgress });
    expect(seen).toEqual(['1 of 6', '2 of 6', '3 of 6', '4 of 6', '5 of 6', '6 of 6']);
    const controller = new AbortController();
    const run = bitsPerDimension({ ...options, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });

  test('refuses what cannot be', async () => {
    const refusal = async (wrong: object): Promise<string> =>
      bitsPerDimension({ ...options, ...wrong }).then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    expect(await refusal({ timesteps: 1 })).toBe('timesteps of the bound must be an integer from 2 to 40, got 1');
    expect(await refusal({ timesteps: 41 })).toContain('from 2 to 40, got 41');
    expect(await refusal({ variance: 'medium' })).toContain("unknown variance 'medium'");
    expect(await refusal({ clip: 0 })).toContain('clip of the bound must be a number above 0');
    expect(await refusal({ batchSize: 0 })).toContain('batchSize must be an integer from 1');
    expect(await refusal({ data: { ...data, dtype: 'i32' } })).toContain('these are int32');
    const told = { ...options.model, classes: 3 };
    expect(await refusal({ model: told })).toBe('the model is told a class, and the data have no labels');
    const labels = new Int32Array(600).fill(3);
    expect(await refusal({ model: told, data: { ...data, labels } })).toContain(
      "the data have the label 3; the model's are 0 to 2",
    );
    expect(await refusal({ model: { ...options.model, weights: undefined } })).toContain(
      'the model has no weights yet',
    );
  });
});

describe('stretches of timesteps', () => {
  test('cover the schedule without gaps, the first being the reconstruction', () => {
    const sizes = fc
      .integer({ min: 2, max: 1200 })
      .chain((T) => fc.tuple(fc.constant(T), fc.integer({ min: 2, max: T })));
    fc.assert(
      fc.property(sizes, ([T, count]) => {
        const stretches = stretchesOf(T, count);
        expect(stretches).toHaveLength(count);
        expect(stretches[0]).toEqual({ from: 0, to: 0 });
        expect(stretches.at(-1)?.to).toBe(T - 1);
        stretches.forEach(({ from, to }, k) => {
          expect(to).toBeGreaterThanOrEqual(from);
          if (k > 0) expect(from).toBe((stretches[k - 1]?.to as number) + 1);
        });
      }),
      { numRuns: 30 },
    );
  });
});
