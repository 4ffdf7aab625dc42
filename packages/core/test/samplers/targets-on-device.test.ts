import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { referenceNormal } from '../../../testkit/src/op-cases/random-reference.ts';
import { type Denoiser, simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type TargetName, targets } from '../../src/diffusion/index.ts';
import { type Mlp, mlp } from '../../src/models/mlp.ts';
import { initializeModel, type ModelWeights } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { Purpose } from '../../src/random/philox.ts';
import { createSampler, type SamplerName, samplers } from '../../src/samplers/index.ts';
import { sample } from '../../src/samplers/sample.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { angleDiffusion, gaussianModel, identityAxes } from '../evaluation/gaussian-model.ts';
import { expectAllClose } from '../schedules/close.ts';

const names = Object.keys(samplers) as SamplerName[];
const schedule = linearSchedule({ steps: 100, betaEnd: 0.2 });
const [count, channels, width] = [3, 2, 8];
const size = count * channels;

let device: Device;
let model: Mlp;
let network: (x: Float64Array, told: number) => Float64Array;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  model = mlp({ shape: [channels], width, layers: 1 });
  await initializeModel(model, device, { seed: 4 });
  network = await hostNetwork(model.weights as ModelWeights);
});
afterAll(() => device.dispose());

/** The same network in float64, without anything of the engine but its weights. */
async function hostNetwork({ table, parameters }: ModelWeights): Promise<typeof network> {
  const flat = await parameters.read(0, table.size);
  const linear = (name: string, input: readonly number[]): number[] => {
    const bias = table.slot(`${name}.bias`);
    const weight = table.slot(`${name}.weight`);
    const outputs = bias.shape[0] as number;
    return Array.from({ length: outputs }, (_, k) =>
      input.reduce(
        (sum, value, c) => sum + value * (flat[weight.offset + c * outputs + k] as number),
        flat[bias.offset + k] as number,
      ),
    );
  };
  const silu = (values: readonly number[]): number[] => values.map((value) => value / (1 + Math.exp(-value)));
  const sum = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + (b[i] as number));
  const one = (x: readonly number[], told: number): number[] => {
    const angles = Array.from({ length: width / 2 }, (_, i) => told * 10_000 ** (-i / (width / 2)));
    const waves = [...angles.map(Math.sin), ...angles.map(Math.cos)];
    const context = silu(linear('time_embedding.linear_2', silu(linear('time_embedding.linear_1', waves))));
    const h = linear('input', x);
    const inner = sum(linear('blocks.0.linear_1', silu(h)), linear('blocks.0.time_proj', context));
    return linear('output', silu(sum(h, linear('blocks.0.linear_2', silu(inner)))));
  };
  return (x, told) => {
    const samples = Array.from({ length: x.length / channels }, (_, n) => [
      ...x.subarray(n * channels, (n + 1) * channels),
    ]);
    return Float64Array.from(samples.flatMap((values) => one(values, told)));
  };
}

/** The noise of a step, or x_T, as the device draws it. */
const drawn = (step: number, purpose: number): Float64Array =>
  referenceNormal([count, channels], { seedLow: 9, seedHigh: 0, step, purpose, sampleOffset: 0 }).data;

describe('any target samples with any sampler', () => {
  const cases = names.flatMap((name) =>
    (Object.keys(targets) as TargetName[]).map((predict): [SamplerName, TargetName] => [name, predict]),
  );

  test.each(cases)(
    '%s of a network that predicts %s: the device follows the host in float64',
    async (name, predict) => {
      const diffusion = gaussianDiffusion({ schedule, predict });
      const sampler = createSampler(name, { steps: 6, ...(name === 'heun' && { churn: 10 }) });
      const denoiser: Denoiser = (xt, t) => {
        const scale = diffusion.inputScale(t);
        return network(
          xt.map((x) => scale * x),
          diffusion.told(t),
        );
      };
      const host = simulate(sampler, diffusion, denoiser, drawn(0, Purpose.sampleStart), (step) =>
        drawn(step, Purpose.sampleStep),
      );
      let index = 0;
      for await (const { x0, next } of sample.steps({ model, diffusion, device, sampler, count, seed: 9 })) {
        const expected = host[index++];
        expectAllClose(x0, expected?.x0 ?? [], 1e-4);
        expectAllClose(next, expected?.x ?? [], 1e-4);
      }
      expect(index).toBe(host.length);
      expect(host.at(-1)?.x.length).toBe(size);
    },
  );
});

describe('the estimate of x0 becomes the sample as the noise goes to 0', () => {
  const variances = [0.25, 0.04];
  const diffusion = angleDiffusion(linearSchedule());

  test.each(names)('%s', async (name) => {
    const exact = await gaussianModel(device, { variances, axes: identityAxes(2) }, [1, 1, 2]);
    const sampler = createSampler(name, { steps: 80, spacing: 'karras', clip: Infinity });
    const plan = sampler.plan(diffusion);
    const estimates: { sigma: number; x0: Float32Array }[] = [];
    let images: Float32Array = new Float32Array();
    for await (const { x0, next, step } of sample.steps({
      model: exact,
      diffusion,
      device,
      sampler,
      count: 16,
      seed: 2,
    })) {
      const alphaBar = plan[step - 1]?.alphaBar as number;
      estimates.push({ sigma: Math.sqrt((1 - alphaBar) / alphaBar), x0 });
      images = next;
    }
    // The last estimate is the sample, but for momentum, which mixes in the noise of the step before: a hundredth of its change.
    expectAllClose(estimates.at(-1)?.x0 ?? [], images, name === 'momentum' ? 1e-3 : 1e-6);
    for (const { sigma, x0 } of estimates.filter((estimate) => estimate.sigma < 1)) {
      x0.forEach((value, i) => {
        const [end, variance] = [images[i] as number, variances[i % 2] as number];
        // What is known of x0 when x is seen has the deviation s sigma / sqrt(s^2 + sigma^2).
        const deviation = Math.sqrt((variance * sigma * sigma) / (variance + sigma * sigma));
        expect(Math.abs(value - end)).toBeLessThan(5 * deviation);
        // Without fresh noise the way is the exact one: x = end sqrt(s^2 + sigma^2) / s, of which the estimate is a known share.
        const flow = end * Math.sqrt(variance / (variance + sigma * sigma));
        if (samplers[name].order > 0) expect(Math.abs(value - flow)).toBeLessThan(0.15 * deviation);
      });
    }
  });
});
