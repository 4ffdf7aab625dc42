import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { gradient } from '../../src/graph/gradient.ts';
import { elementCount, Graph, type Value } from '../../src/graph/graph.ts';
import { add, fill, multiply } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import type { Model } from '../../src/models/model.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { createSampler, type SamplerName, samplers } from '../../src/samplers/index.ts';
import { type SampleOptions, sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { diffusionObjective } from '../../src/training/objectives/denoising.ts';
import { adamW } from '../../src/training/optimizer.ts';
import type { TrainOptions } from '../../src/training/train.ts';
import { finish, tinyModel, tinyTraining } from './tiny.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const schedule = cosineSchedule({ steps: 50 });
const selfConditioned = (options: object = {}): UNet2D =>
  new UNet2D({ shape: [8, 8, 1], channels: [8, 16], layers: 1, selfConditioning: true, ...options });

describe('training', () => {
  /** Says p x + estimate, p a number for each element. */
  const stub = (p: Value): Model => ({
    shape: [4, 1],
    classes: null,
    nullClass: null,
    selfConditioning: true,
    parameters: [],
    frozen: new Set(),
    weights: undefined,
    forward: ({ x, estimate }) => (estimate ? add(multiply(p, x), estimate) : multiply(p, x)),
  });

  test('half of the samples are told the clipped estimate of a first pass, and nothing learns through it', async () => {
    const N = 200;
    const diffusion = gaussianDiffusion({ schedule, predict: 'x0' });
    const graph = new Graph();
    const p = graph.input('p', [N, 4, 1]);
    const seen: Value[] = [];
    const said: Value[] = [];
    const model = stub(p);
    const { loss } = diffusionObjective(diffusion, { selfConditioning: true }).build({
      graph,
      model: {
        ...model,
        forward(inputs) {
          seen.push(inputs.x);
          said.push(model.forward(inputs));
          return said.at(-1) as Value;
        },
      },
      batchSize: N,
      inputs: { data: graph.input('data', [N, 4, 1], 'u8') },
      randomness: { seedLow: 1, seedHigh: 0, step: 0, sampleOffset: 0 },
      parameter: () => p,
      table: (name, shape) => graph.input(name, shape),
    });
    const dp = gradient([{ value: loss, gradient: fill(graph, [1], 1) }], [p]).get(p) as Value;
    const [first, second] = said as [Value, Value];
    using program = compile(graph, { device, outputs: { dp, x: seen[0] as Value, first, second } });
    const { tables } = diffusionObjective(diffusion, { selfConditioning: true });
    const data = Uint8Array.from({ length: 4 * N }, (_, i) => (i * 91) % 256);
    const inputs = { p: new Float32Array(4 * N).fill(1.5), data, bytes: tables?.bytes as Float32Array };
    const result = await program.run({ inputs });
    let told = 0;
    for (let n = 0; n < N; n++) {
      const estimates = Array.from(
        { length: 4 },
        (_, k) => (result.second[4 * n + k] as number) - (result.first[4 * n + k] as number),
      );
      const isTold = estimates.some((estimate) => estimate !== 0);
      told += Number(isTold);
      for (let k = 0; k < 4; k++) {
        const i = 4 * n + k;
        const expected = isTold ? Math.min(1, Math.max(-1, result.first[i] as number)) : 0;
        expect(estimates[k]).toBeCloseTo(expected, 5);
        // The derivative of (p x + estimate - x0)^2 / (4 N) by p, the estimate held.
        const error = (result.second[i] as number) - ((data[i] as number) / 127.5 - 1);
        expect(result.dp[i]).toBeCloseTo((2 * error * (result.x[i] as number)) / (4 * N), 7);
      }
    }
    // 200 fair coins: 100 ± 7.07
    expect(Math.abs(told - 100)).toBeLessThan(29);
  });

  test('learns, also together with a learned variance', async () => {
    for (const learnedVariance of [false, true]) {
      const options = { steps: 300, batchSize: 16, optimizer: adamW({ learningRate: 3e-3 }) };
      const losses: number[] = [];
      const training = await tinyTraining(device, { model: selfConditioned({ learnedVariance }), ...options });
      for await (const { loss } of training) losses.push(loss);
      const mean = (from: number, to: number): number =>
        losses.slice(from, to).reduce((a, b) => a + b, 0) / (to - from);
      expect(mean(0, 5)).toBeGreaterThan(0.8);
      expect(mean(250, 300)).toBeLessThan(0.5 * mean(0, 5));
    }
  });

  test.each([1, 3])('with %i threads gives the same bits', async (threads) => {
    const options = { steps: 6, timestepSampling: 'loss-aware' } as const;
    const reference = await finish(await tinyTraining(device, { model: selfConditioned(), ...options }));
    using other = await openDevice('cpu', { threads });
    const result = await finish(await tinyTraining(other, { model: selfConditioned(), ...options }));
    expect(result.log).toEqual(reference.log);
    expect(result.bytes.parameters?.equals(reference.bytes.parameters as Buffer)).toBe(true);
  });

  test('a model that takes no estimate is trained as ever', async () => {
    const run = (options: Partial<TrainOptions>) => tinyTraining(device, { steps: 3, ...options });
    expect((await finish(await run({ model: tinyModel() }))).log).toEqual((await finish(await run({}))).log);
  });

  test('an objective and a model that do not agree are refused', async () => {
    const diffusion = gaussianDiffusion({ schedule });
    const build = (model: UNet2D, selfConditioning: boolean): unknown => {
      const graph = new Graph();
      return diffusionObjective(diffusion, { selfConditioning }).build({
        graph,
        model,
        batchSize: 1,
        inputs: { data: graph.input('data', [1, 8, 8, 1], 'u8') },
        randomness: { seedLow: 0, seedHigh: 0, step: 0, sampleOffset: 0 },
        parameter: () => graph.input('unused', [1]),
        table: (name, shape) => graph.input(name, shape),
      });
    };
    expect(() => build(tinyModel(), true)).toThrow('make it with selfConditioning: true');
    expect(() => build(selfConditioned(), false)).toThrow('train it with selfConditioning: true');
  });
});

describe('sampling', () => {
  /** Its estimate of x0 is the one before, and a tenth more: it counts the network's evaluations. */
  const counter = (selfConditioning: boolean): Model => ({
    shape: [3],
    classes: null,
    nullClass: null,
    selfConditioning,
    parameters: [{ name: 'unused', shape: [1], layout: 'plain' }],
    frozen: new Set(),
    weights: undefined,
    forward: ({ x, estimate }) => {
      const tenth = fill(x.graph, x.shape, 0.1);
      return estimate ? add(estimate, tenth) : tenth;
    },
  });

  const diffusion = gaussianDiffusion({ schedule, predict: 'x0' });

  test.each(Object.keys(samplers) as SamplerName[])(
    '%s tells the network what the step before made of x0',
    async (name) => {
      const model = counter(true);
      await initializeModel(model, device);
      const sampler = createSampler(name, { steps: 6, clip: 0.45 });
      const options = { model, diffusion, device, sampler, count: 2, seed: 1 };
      let step = 0;
      // The second run begins without an estimate again.
      for (let run = 0; run < 2; run++) {
        step = 0;
        for await (const { x0 } of sample.steps(options)) {
          step++;
          for (const value of x0) expect(value).toBeCloseTo(Math.min(0.45, 0.1 * step), 6);
        }
      }
      expect(step).toBeGreaterThanOrEqual(6);
    },
  );

  test('later batches begin without an estimate, too', async () => {
    const model = counter(true);
    await initializeModel(model, device);
    const sampler = createSampler('ddim', { steps: 4, clip: Number.POSITIVE_INFINITY });
    const { images } = await sample({ model, diffusion, device, sampler, count: 5, batchSize: 2, seed: 1 });
    for (const value of images) expect(value).toBeCloseTo(0.4, 6);
  });

  const draw = async (model: UNet2D, options: Partial<SampleOptions> = {}): Promise<Float32Array> => {
    const sampler = createSampler('ddpm', { steps: 5 });
    return (await sample({ model, diffusion, device, sampler, count: 5, seed: 3, ...options })).images;
  };

  test('does not depend on the batch, and the estimate matters', async () => {
    const model = selfConditioned();
    await initializeModel(model, device);
    const images = await draw(model);
    expect(await draw(model, { batchSize: 2 })).toEqual(images);
    const deaf: Model = {
      ...model,
      selfConditioning: false,
      forward: ({ estimate: _, ...rest }) => model.forward(rest),
    };
    expect(await draw(deaf as UNet2D)).not.toEqual(images);
  });

  test('goes with guidance by class and by a worse model', async () => {
    const model = selfConditioned({ classes: 2, nullClass: true });
    const plain = new UNet2D({ shape: [8, 8, 1], channels: [8], layers: 1 });
    await initializeModel(model, device);
    await initializeModel(plain, device, { seed: 5 });
    const labels = [0, 1, 0, 1, 0];
    const unguided = await draw(model, { labels });
    for (const guidance of [2, { kind: 'autoguidance', weight: 2, model: plain } as const]) {
      const images = await draw(model, { labels, guidance });
      expect(images.every(Number.isFinite)).toBe(true);
      expect(images).not.toEqual(unguided);
      expect(await draw(model, { labels, guidance, batchSize: 2 })).toEqual(images);
    }
    // Also where the worse model alone takes an estimate.
    const worse = selfConditioned();
    await initializeModel(worse, device, { seed: 6 });
    const guided = await draw(plain, { guidance: { kind: 'autoguidance', weight: 2, model: worse } });
    expect(guided).toHaveLength(5 * elementCount(plain.shape));
  });
});
