import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { referenceNormal } from '../../../testkit/src/op-cases/random-reference.ts';
import { samplerUpdate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, targets } from '../../src/diffusion/index.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { Purpose } from '../../src/random/philox.ts';
import {
  type Clip,
  createSampler,
  ddim,
  type SamplerName,
  type SamplerStep,
  samplers,
} from '../../src/samplers/index.ts';
import { type SampleOptions, sample } from '../../src/samplers/sample.ts';
import { linearSchedule } from '../../src/schedules/index.ts';

const shape = [8, 8, 1] as const;
const size = 64;
const clip: Clip = { quantile: 0.9, max: 1.5 };
const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 100, betaEnd: 0.2 }) });
const names = Object.keys(samplers) as SamplerName[];
let device: Device;
let model: UNet2D;

beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  model = new UNet2D({ shape, channels: [8, 16], layers: 1 });
  await initializeModel(model, device, { seed: 1 });
});
afterAll(() => device.dispose());

const draw = async (options: Partial<SampleOptions> = {}): Promise<Float32Array> =>
  (await sample({ model, diffusion, device, sampler: ddim({ steps: 5, clip }), count: 3, seed: 9, ...options })).images;
const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

describe('dynamic thresholding', () => {
  const variants = [...names.map((name) => [name, 'strict'] as const), ['ddim', 'diffusers'] as const];

  test.each(variants)('%s, %s: each step is its row in float64, sample by sample', async (name, compat) => {
    const options = { steps: 6, clip, ...(compat === 'diffusers' && { compat }) };
    const sampler = createSampler(name, options);
    const plan = sampler.plan(diffusion);
    const empty = { history: new Float64Array(size), older: new Float64Array(size) };
    let memory: Record<'history' | 'older', Float64Array>[] = [empty, empty, empty];
    let index = 0;
    let bounded = 0;
    for await (const step of sample.steps({ model, diffusion, device, sampler, count: 3, seed: 9 })) {
      const row = plan[index] as SamplerStep;
      const stream = { seedLow: 9, seedHigh: 0, step: index, purpose: Purpose.sampleStep, sampleOffset: 0 };
      const noises = referenceNormal([3, ...shape], stream).data;
      const toEps = diffusion.convertTo(targets.eps, row.t);
      memory = memory.map(({ history, older }, n) => {
        const part = (values: Float32Array | Float64Array): Float64Array =>
          Float64Array.from(values.subarray(n * size, (n + 1) * size));
        const x = part(step.xt);
        const eps = part(step.eps);
        const prediction = x.map((value, i) => ((eps[i] as number) - toEps.x * value) / toEps.prediction);
        const expected = samplerUpdate(row, { x, prediction, history, older, noise: part(noises) });
        expect(largest(part(step.x0), expected.x0)).toBeLessThan(2e-4);
        expect(largest(part(step.next), expected.x)).toBeLessThan(4e-4);
        bounded += expected.x0.filter((value) => Math.abs(value) === 1).length;
        return { history: expected.history, older: history };
      });
      index += 1;
    }
    expect(index).toBe(plan.length);
    expect(bounded).toBeGreaterThan(30);
  });

  test.each(names)('%s: a sample depends neither on its batch nor on the threads', async (name) => {
    const sampler = createSampler(name, { steps: 4, clip });
    const together = await draw({ sampler, count: 5 });
    expect(await draw({ sampler, count: 5, batchSize: 2 })).toEqual(together);
    using single = await openDevice('cpu', { threads: 1 });
    const same = new UNet2D({ shape, channels: [8, 16], layers: 1 });
    await initializeModel(same, single, { seed: 1 });
    expect(await draw({ sampler, count: 5, model: same, device: single })).toEqual(together);
  });

  test('with a largest bound of 1 is clipping at 1, bit for bit', async () => {
    const dynamic = await draw({ sampler: ddim({ steps: 5, clip: { quantile: 0.9, max: 1 } }) });
    expect(dynamic).toEqual(await draw({ sampler: ddim({ steps: 5, clip: 1 }) }));
    expect(dynamic).not.toEqual(await draw());
  });

  test('leaves what a mask keeps', async () => {
    const images = Float32Array.from({ length: 3 * size }, (_, i) => Math.sin(i / 7));
    const values = Float32Array.from({ length: 3 * size }, (_, i) => Number(i % 3 === 0));
    for (const compat of ['strict', 'diffusers'] as const) {
      const sampler = ddim({ steps: 5, clip, compat });
      const found = await draw({ sampler, given: { images }, mask: { values, resamples: 2, jump: 2 } });
      found.forEach((value, i) => {
        if (values[i] === 1) expect(value).toBeCloseTo(images[i] as number, 5);
      });
      expect(found.every(Number.isFinite)).toBe(true);
    }
  });

  test.each([
    [{ quantile: 1.5 }, /the quantile in clip of sampler 'ddim' must be a number from 0 to 1, got 1\.5/],
    [{ quantile: Number.NaN }, /the quantile in clip of sampler 'ddim' must be a number from 0 to 1, got NaN/],
    [{ quantile: 0.5, max: 0.9 }, /max in clip of sampler 'ddim' must be a number from 1 to Infinity, got 0\.9/],
    [{ quantile: 0.5, mx: 2 }, /clip of sampler 'ddim' has no option 'mx'; it has: quantile, max/],
    [null, /clip of sampler 'ddim' must be a number above 0, got null/],
    ['dynamic', /clip of sampler 'ddim' must be a number above 0, got dynamic/],
  ])('refuses %j', (wrong, message) => {
    expect(() => ddim({ steps: 5, clip: wrong as Clip })).toThrow(message);
  });

  test('does not take turns with a number', async () => {
    const { plan } = ddim({ steps: 5, clip });
    const mixed = {
      ...ddim({ steps: 5 }),
      plan: () => plan(diffusion).map((row, i) => (i > 2 ? { ...row, clip: 1 } : row)),
    };
    await expect(draw({ sampler: mixed })).rejects.toThrow('a plan clips by a number or by dynamic thresholding');
  });
});
