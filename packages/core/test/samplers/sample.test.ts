import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { referenceNormal } from '../../../testkit/src/op-cases/random-reference.ts';
import { samplerUpdate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type TargetName } from '../../src/diffusion/index.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { classifier } from '../../src/models/classifier.ts';
import { classifierSlope } from '../../src/models/classifier-slope.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { Purpose } from '../../src/random/philox.ts';
import {
  type ClassifierGuidance,
  createSampler,
  ddim,
  ddimInversion,
  ddpm,
  dpmSolver,
  type SamplerName,
  samplers,
} from '../../src/samplers/index.ts';
import { type SampleOptions, sample } from '../../src/samplers/sample.ts';
import { linearSchedule } from '../../src/schedules/index.ts';

let device: Device;
let model: UNet2D;
let classModel: UNet2D;
const shape = [8, 8, 1] as const;
const size = 64;
const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 100, betaEnd: 0.2 }) });

beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  const small = { shape, channels: [8, 16], layers: 1 };
  model = new UNet2D(small);
  classModel = new UNet2D({ ...small, classes: 3, nullClass: true });
  await initializeModel(model, device, { seed: 1 });
  await initializeModel(classModel, device, { seed: 2 });
});
afterAll(() => device.dispose());

const draw = async (options: Partial<SampleOptions> = {}): Promise<Float32Array> =>
  (await sample({ model, diffusion, device, sampler: ddim({ steps: 5 }), count: 3, seed: 9, ...options })).images;
const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));
const images = Float32Array.from({ length: 3 * size }, (_, i) => Math.sin(i / 7));

describe('every sampler on the device', () => {
  test.each(Object.keys(samplers) as SamplerName[])('%s: each step is its row in float64', async (name) => {
    for (const predict of ['eps', 'edm'] as TargetName[]) {
      const process = gaussianDiffusion({ schedule: diffusion.schedule, predict });
      const sampler = createSampler(name, { steps: 6, clip: 0.7, ...(name === 'heun' && { churn: 10 }) });
      const plan = sampler.plan(process);
      let history: Float64Array = new Float64Array(3 * size);
      let older: Float64Array = new Float64Array(3 * size);
      let index = 0;
      for await (const step of sample.steps({ model, diffusion: process, device, sampler, count: 3, seed: 9 })) {
        const row = plan[index] as (typeof plan)[number];
        expect(step.t).toBe(row.t);
        const x = Float64Array.from(step.xt);
        // The prediction back from the noise that it stands for.
        const toEps = process.convertTo({ name: 'noise', description: '', mixture: () => ({ x0: 0, eps: 1 }) }, row.t);
        const prediction = x.map((value, i) => ((step.eps[i] as number) - toEps.x * value) / toEps.prediction);
        const stream = { seedLow: 9, seedHigh: 0, step: index, purpose: Purpose.sampleStep, sampleOffset: 0 };
        const noise = referenceNormal([3, ...shape], stream).data;
        const expected = samplerUpdate(row, { x, prediction, history, older, noise });
        expect(largest(step.x0, expected.x0)).toBeLessThan(2e-4);
        expect(largest(step.next, expected.x)).toBeLessThan(2e-4);
        older = history;
        history = expected.history;
        index += 1;
      }
      expect(index).toBe(plan.length);
    }
  });

  test.each(Object.keys(samplers) as SamplerName[])('%s: a sample does not depend on its batch', async (name) => {
    const sampler = createSampler(name, { steps: 4 });
    const together = await draw({ sampler, count: 5 });
    const apart = await draw({ sampler, count: 5, batchSize: 2 });
    expect(apart).toEqual(together);
  });
});

describe('classifier-free guidance', () => {
  const labels = [0, 1, 2];

  test('moves the prediction from that without a class past that with one', async () => {
    const first = async (options: Partial<SampleOptions>): Promise<Float32Array> => {
      const all = { model: classModel, diffusion, device, sampler: ddim({ steps: 5 }), count: 3, seed: 9, ...options };
      for await (const { eps } of sample.steps(all)) return eps;
      throw new Error('no step');
    };
    const withClass = await first({ labels });
    const without = await first({ labels: [3, 3, 3] });
    const guided = await first({ labels, guidance: 2.5 });
    const expected = withClass.map((value, i) => (without[i] as number) + 2.5 * (value - (without[i] as number)));
    expect(largest(withClass, without)).toBeGreaterThan(1e-3);
    expect(largest(guided, expected)).toBeLessThan(1e-5);
    expect(await first({ labels, guidance: 0 })).toEqual(without);
  });

  test('of weight 1 is none', async () => {
    const plain = await draw({ model: classModel, labels });
    expect(await draw({ model: classModel, labels, guidance: 1 })).toEqual(plain);
  });

  test('is refused where it cannot be', async () => {
    await expect(draw({ guidance: 2 })).rejects.toThrow('guidance needs a model that was trained with dropped labels');
    await expect(draw({ model: classModel, labels, guidance: Number.NaN })).rejects.toThrow('guidance is NaN');
  });
});

describe('autoguidance', () => {
  test('by the model itself changes nothing, by a worse one it does', async () => {
    const worse = new UNet2D({ shape, channels: [8], layers: 1 });
    await initializeModel(worse, device, { seed: 3 });
    const plain = await draw();
    const itself = await draw({ guidance: { kind: 'autoguidance', weight: 3, model } });
    expect(largest(itself, plain)).toBeLessThan(1e-3);
    const other = await draw({ guidance: { kind: 'autoguidance', weight: 3, model: worse } });
    expect(largest(other, plain)).toBeGreaterThan(1e-2);
  });

  test('by a model of another shape is refused', async () => {
    const other = new UNet2D({ shape: [4, 4, 1], channels: [8], layers: 1 });
    await expect(draw({ guidance: { kind: 'autoguidance', weight: 2, model: other } })).rejects.toMatchObject({
      code: 'ERR_SHAPE',
    });
  });
});

describe('classifier guidance', () => {
  test('moves the noise against the slope by its scale and the deviation of the noise', async () => {
    const slope = 0.5;
    const guidance: SampleOptions['guidance'] = {
      kind: 'classifier',
      scale: 3,
      network: classModel,
      slope: ({ graph, x }) => fill(graph, x.shape, slope),
    };
    for (const predict of ['eps', 'v', 'edm'] as TargetName[]) {
      const process = gaussianDiffusion({ schedule: diffusion.schedule, predict });
      const first = async (more: Partial<SampleOptions>): Promise<{ eps: Float32Array; t: number }> => {
        const labels = [0, 1, 2];
        const options = {
          model: classModel,
          diffusion: process,
          device,
          sampler: ddim({ steps: 5 }),
          count: 3,
          labels,
        };
        for await (const step of sample.steps({ ...options, ...more })) return step;
        throw new Error('no step');
      };
      const plain = await first({});
      const guided = await first({ guidance });
      const moved = -Math.sqrt(1 - process.alphaBarAt(plain.t)) * 3 * slope;
      expect(
        largest(
          guided.eps,
          plain.eps.map((value) => value + moved),
        ),
      ).toBeLessThan(1e-4);
      expect((await first({ guidance: { ...guidance, scale: 0 } })).eps).toEqual(plain.eps);
    }
  });

  describe('of a classifier', () => {
    const guide = classifier({ shape, classes: 2, channels: [8, 8], timeConditioned: true });
    const towards = (labels?: ArrayLike<number>): ClassifierGuidance => {
      return { kind: 'classifier', scale: 4, network: guide, labels, slope: classifierSlope(guide) };
    };
    beforeAll(() => initializeModel(guide, device, { seed: 3 }));

    test('leads a model without classes to the labels of the guidance, the same in every batch', async () => {
      const [mixed, zeros] = [
        await draw({ guidance: towards([0, 1, 0]) }),
        await draw({ guidance: towards([0, 0, 0]) }),
      ];
      expect(mixed.subarray(0, size)).toEqual(zeros.subarray(0, size));
      expect(mixed.subarray(size, 2 * size)).not.toEqual(zeros.subarray(size, 2 * size));
      expect(mixed.subarray(2 * size)).toEqual(zeros.subarray(2 * size));
      expect(await draw({ guidance: towards([0, 1, 0]), batchSize: 1 })).toEqual(mixed);
      expect(await draw()).not.toEqual(zeros);
    });

    test('takes the labels of the samples where it has none of its own, whether the model is told them or not', async () => {
      const labels = [0, 1, 1];
      const own = await draw({ model: classModel, labels, guidance: towards() });
      expect(await draw({ model: classModel, labels, guidance: towards(labels) })).toEqual(own);
      const led = await draw({ labels, guidance: towards() });
      expect(await draw({ guidance: towards(labels) })).toEqual(led);
      expect(await draw({ labels, guidance: towards(), batchSize: 2 })).toEqual(led);
      expect(await draw({ labels: [1, 1, 1], guidance: towards() })).not.toEqual(led);
      // Of scale 0 there is no guidance, and the labels say nothing.
      expect(await draw({ labels, guidance: { ...towards(), scale: 0 } })).toEqual(await draw());
    });

    test.each<[string, Partial<SampleOptions>, string]>([
      ['no labels', { guidance: towards() }, 'a classifier leads to a class: give it 3 labels, got none'],
      [
        'labels beside its own with a model without classes',
        { labels: [0, 1, 1], guidance: towards([0, 1, 1]) },
        'labels were given, but the model is not told a class and the classifier has labels of its own',
      ],
      ['too few labels of samples', { labels: [0], guidance: towards() }, 'give it 3 labels, got 1'],
      ['too few labels', { guidance: towards([0]) }, 'a classifier leads to a class: give it 3 labels, got 1'],
      ['an unknown class', { guidance: towards([0, 1, 2]) }, 'the label 2 is not a class of the classifier'],
    ])('refuses %s', async (_, options, message) => {
      await expect(draw(options)).rejects.toThrow(message);
    });
  });
});

describe('editing', () => {
  test('strength 0 returns the images, strength 1 takes every step', async () => {
    expect(await draw({ given: { images, strength: 0 } })).toEqual(images);
    const seen: number[] = [];
    await draw({ given: { images, strength: 0.6 }, onStep: ({ total }) => seen.push(total) });
    expect(seen).toEqual([3, 3, 3]);
  });

  test('begins at the noisy image of its level', async () => {
    const options = { model, diffusion, device, sampler: ddpm({ steps: 10 }), count: 3, seed: 9 };
    for await (const step of sample.steps({ ...options, given: { images, strength: 0.5 } })) {
      const stream = { seedLow: 9, seedHigh: 0, step: 0, purpose: Purpose.sampleStart, sampleOffset: 0 };
      const noise = Float32Array.from(referenceNormal([3, ...shape], stream).data);
      expect(largest(step.xt, diffusion.qSample(images, step.t, noise))).toBeLessThan(1e-5);
      break;
    }
  });

  test('begins at the x_T that is given', async () => {
    const start = images.map((value) => value * 1.5);
    for await (const { xt } of sample.steps({
      model,
      diffusion,
      device,
      sampler: ddim({ steps: 5 }),
      count: 3,
      start,
    })) {
      expect(xt).toEqual(start);
      break;
    }
    await expect(draw({ start: images.subarray(1) })).rejects.toThrow('start has 191 elements; 3 x 8 x 8 x 1 is 192');
    await expect(draw({ start, given: { images } })).rejects.toThrow('start is noise to begin with');
  });

  test('inversion begins at the images and ends at noise that leads back', async () => {
    const noise = await draw({ sampler: ddimInversion({ steps: 50 }), given: { images } });
    expect(largest(noise, images)).toBeGreaterThan(0.5);
    await expect(draw({ sampler: ddimInversion({ steps: 5 }) })).rejects.toThrow('goes from samples to noise');
  });
});

describe('inpainting', () => {
  const sampler = ddpm({ steps: 5 });

  test('keeps what the mask keeps, and draws as ever what it does not', async () => {
    const values = Float32Array.from({ length: 3 * size }, (_, i) => (i % 8 < 4 ? 1 : 0));
    const result = await draw({ sampler, given: { images }, mask: { values, resamples: 3, jump: 2 } });
    result.forEach((value, i) => {
      if (values[i] === 1) expect(Math.abs(value - (images[i] as number))).toBeLessThan(1e-6);
    });
    const nothing = { values: new Float32Array(3 * size), resamples: 1 };
    expect(await draw({ sampler, given: { images }, mask: nothing })).toEqual(await draw({ sampler }));
  });

  test('resampling takes each part of the way so often', async () => {
    let total = 0;
    const values = new Float32Array(3 * size).fill(1);
    await draw({
      sampler,
      given: { images },
      mask: { values, resamples: 4, jump: 2 },
      onStep: (progress) => {
        total = progress.total;
      },
    });
    expect(total).toBe(4 * 5);
  });

  test.each<[Partial<SampleOptions>, string]>([
    [{ mask: { values: new Float32Array(3 * size) } }, 'a mask keeps part of given samples'],
    [{ given: { images: images.subarray(1) } }, 'given.images has 191 elements; 3 x 8 x 8 x 1 is 192'],
    [{ given: { images }, mask: { values: new Float32Array(5) } }, 'mask.values has 5 elements'],
    [{ given: { images }, mask: { values: new Float32Array(3 * size).fill(2) } }, 'mask.values has 2'],
    [{ given: { images, strength: 2 } }, 'strength must be a number from 0 to 1, got 2'],
    [
      { sampler: ddpm({ steps: 5, variance: 'learned-range' }) },
      "variance 'learned-range' needs a network that predicts",
    ],
    [
      { sampler: dpmSolver({ steps: 5 }), given: { images }, mask: { values: new Float32Array(3 * size) } },
      'resampling goes back and forth',
    ],
  ])('bad input %#', async (options, message) => {
    await expect(draw(options)).rejects.toThrow(message);
  });
});
