import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import { hutchinsonTrace } from '../../src/evaluation/ode-flow.ts';
import { type OdeLikelihood, odeLikelihood } from '../../src/evaluation/ode-likelihood.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { linear } from '../../src/graph/ops/linear.ts';
import { compile } from '../../src/graph/program.ts';
import { initializeModel, parameterValues } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { permutation } from '../../src/random/philox.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { moments, normals, uniforms } from '../random/normal.ts';
import { bands, tinyModel } from '../training/tiny.ts';
import {
  angleDiffusion,
  byteDataset,
  floatDataset,
  gaussianModel,
  gaussianNats,
  gaussianSamples,
  identityAxes,
  mixingAxes,
  type RotatedGaussian,
} from './gaussian-model.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const diffusion = angleDiffusion(linearSchedule());
const variances = [0.25, 0.04, 1.3];

/** Closed form: the density at the schedule's least noise, in the order of the evaluation. */
function exactNats(law: RotatedGaussian, values: Float32Array, size: number): number[] {
  const noise = (diffusion.schedule.sigma[0] as number) ** 2;
  const noisy = { ...law, variances: law.variances.map((variance) => variance + noise) };
  const order = permutation(0, 0, values.length / size);
  return Array.from(order, (index) => gaussianNats(noisy, values.subarray(index * size, (index + 1) * size)));
}

describe('the likelihood of the ODE', () => {
  test('is the closed form for Gaussian data, sample by sample', async () => {
    const law = { variances, axes: identityAxes(3) };
    const shape = [2, 2, 3];
    const model = await gaussianModel(device, law, shape);
    const values = gaussianSamples(law, { count: 5, pixels: 4, seed: 3 });
    const data = floatDataset(values, shape);
    const exact = exactNats(law, values, 12);
    const worst = async (steps: number): Promise<{ error: number; stepError: number }> => {
      const found = await odeLikelihood({ model, diffusion, data, device, steps });
      const errors = exact.map((nats, n) => Math.abs((found.perSample[n] as number) - nats));
      return { error: Math.max(...errors), stepError: found.stepError * 12 * Math.LN2 };
    };
    const [rough, fine, finest] = [await worst(32), await worst(64), await worst(128)];
    expect(finest.error).toBeLessThan(5e-4);
    // What is taken off is of second order, what is left of a higher one.
    expect(fine.stepError / finest.stepError).toBeGreaterThan(3.5);
    expect(fine.stepError / finest.stepError).toBeLessThan(4.5);
    expect(rough.error / fine.error).toBeGreaterThan(6);
    for (const { error, stepError } of [rough, fine, finest]) expect(error).toBeLessThan(stepError);
  });

  test('is unbiased where channels depend on each other, and more probes spread less', async () => {
    const law = { variances, axes: mixingAxes(3) };
    const model = await gaussianModel(device, law, [3]);
    const count = 400;
    const values = gaussianSamples(law, { count, pixels: 1, seed: 4 });
    const data = floatDataset(values, [3]);
    const exact = exactNats(law, values, 3);
    const spread = async (probes: number, probe: 'rademacher' | 'gaussian'): Promise<number> => {
      const found = await odeLikelihood({ model, diffusion, data, device, probes, probe, batchSize: 400 });
      const errors = found.perSample.map((nats, n) => nats - (exact[n] as number));
      const { mean, variance } = moments(errors);
      expect(Math.abs(mean)).toBeLessThan(4 * Math.sqrt(variance / count));
      return Math.sqrt(variance);
    };
    const [one, nine] = [await spread(1, 'rademacher'), await spread(9, 'rademacher')];
    expect(one / nine).toBeGreaterThan(2.5);
    expect(one / nine).toBeLessThan(3.5);
    expect(await spread(1, 'gaussian')).toBeGreaterThan(one);
  });

  test('counts bits of bytes by the width of a level', async () => {
    const count = 300;
    const deviation = 0.3;
    const noise = normals(5, count * 4);
    const bytes = Uint8Array.from(noise, (z) => Math.round((deviation * z + 1) * 127.5));
    const law = { variances: [deviation ** 2], axes: [1] };
    const model = await gaussianModel(device, law, [2, 2, 1]);
    const options = { model, diffusion, data: byteDataset(bytes, [2, 2, 1]), device };
    const found = await odeLikelihood(options);
    const entropy = 0.5 * Math.log2(2 * Math.PI * Math.E * deviation ** 2) + Math.log2(127.5);
    expect(Math.abs(found.bitsPerDimension.mean - entropy)).toBeLessThan(4 * found.bitsPerDimension.standardError);
    // A Gaussian's -log2 p has the standard deviation sqrt(1/2) / ln 2 in each dimension.
    expect(found.bitsPerDimension.standardError * Math.sqrt(count * 4) * Math.LN2).toBeCloseTo(Math.SQRT1_2, 1);
    expect(found.bitsPerDimension.mean).toBeCloseTo(found.nats.mean / 4 / Math.LN2 + Math.log2(127.5), 12);
    // Neither the noise in the levels nor the probes depend on the batches.
    const again = await odeLikelihood({ ...options, count: 20, batchSize: 7 });
    expect([...again.perSample]).toEqual([...found.perSample.slice(0, 20)]);
    const other = await odeLikelihood({ ...options, count: 20, seed: 1 });
    expect(other.nats.mean).not.toBe(again.nats.mean);
  });

  test('runs for a class-conditional U-Net', async () => {
    const model = tinyModel({ classes: 4 });
    await initializeModel(model, device, { seed: 1 });
    const diffusion = gaussianDiffusion({ schedule: linearSchedule(), predict: 'v' });
    const run = (data: Dataset): Promise<OdeLikelihood> =>
      odeLikelihood({ model, diffusion, data, device, steps: 8, count: 8, batchSize: 4 });
    const found = await run(bands());
    expect(found.dimensions).toBe(64);
    expect(found.perSample.every(Number.isFinite)).toBe(true);
    // The labels reach the network.
    const labels = (bands().labels as Int32Array).map((label) => 3 - label);
    expect((await run({ ...bands(), labels })).nats.mean).not.toBe(found.nats.mean);
  });

  test('reports how far it is and stops when told', async () => {
    const law = { variances, axes: identityAxes(3) };
    const model = await gaussianModel(device, law, [3]);
    const data = floatDataset(gaussianSamples(law, { count: 6, pixels: 1, seed: 1 }), [3]);
    const seen: string[] = [];
    const options = { model, diffusion, data, device, steps: 4, probes: 2, batchSize: 3 };
    const { evaluations, count } = await odeLikelihood({
      ...options,
      onProgress: ({ done, total }) => seen.push(`${done} of ${total}`),
    });
    // Per batch: 5 + 3 levels with two probes each, 4 + 2 steps.
    expect([evaluations, count, seen.length, seen.at(-1)]).toEqual([22, 6, 44, '44 of 44']);
    const controller = new AbortController();
    const run = odeLikelihood({ ...options, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });

  test('refuses what cannot be', async () => {
    const model = await gaussianModel(device, { variances, axes: identityAxes(3) }, [3]);
    const options = { model, diffusion, data: floatDataset(new Float32Array(9), [3]), device };
    const refusal = async (wrong: object): Promise<string> =>
      odeLikelihood({ ...options, ...wrong }).then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    expect(await refusal({ steps: 7 })).toBe('steps of the ODE must be even, for the error estimate; got 7');
    expect(await refusal({ steps: 0 })).toContain('steps of the ODE must be an integer from 2');
    expect(await refusal({ probes: 0 })).toContain('probes of the trace must be an integer from 1');
    expect(await refusal({ probe: 'uniform' })).toContain(
      "unknown law of the probes 'uniform'; known are: rademacher, gaussian",
    );
    expect(await refusal({ sigmaMax: 1e6 })).toContain('the levels of the schedule');
    expect(await refusal({ sigmaMin: 5, sigmaMax: 2 })).toContain('goes from sigmaMin 5 to sigmaMax 2');
    expect(await refusal({ count: 4 })).toBe('count of samples to evaluate must be an integer from 1 to 3, got 4');
    expect(await refusal({ data: floatDataset(new Float32Array(8), [2, 2]) })).toBe(
      'the data have the shape [2, 2], the model is one for [3]',
    );
  });
});

describe("Hutchinson's estimate", () => {
  /** Estimates of the trace of a linear map [4, 4] by `count` random vectors. */
  async function estimates(matrix: Float32Array, v: Float32Array): Promise<Float32Array> {
    const graph = new Graph();
    const count = v.length / 4;
    const x = graph.input('x', [count, 4]);
    const y = linear(x, graph.input('matrix', [4, 4]));
    using program = compile(graph, { device, outputs: { trace: hutchinsonTrace(y, x, graph.input('v', x.shape)) } });
    return (await program.run({ inputs: { x: new Float32Array(v.length), matrix, v } })).trace;
  }
  const signs = (count: number): Float32Array => Float32Array.from(uniforms(1, count * 4), (u) => (u < 0.5 ? -1 : 1));

  test('is exact for diagonal maps and signs', async () => {
    const diagonal = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? i - 3.5 : 0));
    for (const trace of await estimates(diagonal, signs(50))) expect(trace).toBe(-3.5 + 1.5 + 6.5 + 11.5);
  });

  test('has the trace as its mean for any map', async () => {
    const matrix = Float32Array.from(normals(2, 16));
    const trace = [0, 5, 10, 15].reduce((sum, i) => sum + (matrix[i] as number), 0);
    const count = 20_000;
    for (const v of [signs(count), Float32Array.from(normals(3, count * 4))]) {
      const { mean, variance } = moments(Float64Array.from(await estimates(matrix, v)));
      expect(Math.abs(mean - trace)).toBeLessThan(4 * Math.sqrt(variance / count));
    }
  });

  test('is the slope of a U-Net along the random vector', async () => {
    const model = tinyModel();
    const { table, parameters } = await initializeModel(model, device, { seed: 5 });
    const graph = new Graph();
    const x = graph.input('x', [2, 8, 8, 1]);
    const values = parameterValues(graph, table);
    const t = fill(graph, [2], 300);
    const prediction = model.forward({ x, t, parameter: (name) => values.get(name) as Value });
    const trace = hutchinsonTrace(prediction, x, graph.input('v', x.shape));
    using program = compile(graph, { device, buffers: { parameters }, outputs: { prediction, trace } });
    const v = signs(32);
    const at = (step: number): Record<'x' | 'v', Float32Array> => ({
      x: Float32Array.from(normals(6, 128), (value, i) => value + step * (v[i] as number)),
      v,
    });
    const h = 0.01;
    const middle = await program.run({ inputs: at(0) });
    const [before, after] = [await program.run({ inputs: at(-h) }), await program.run({ inputs: at(h) })];
    for (const n of [0, 1]) {
      let slope = 0;
      for (let i = n * 64; i < (n + 1) * 64; i++) {
        slope += ((v[i] as number) * ((after.prediction[i] as number) - (before.prediction[i] as number))) / (2 * h);
      }
      expect(Math.abs((middle.trace[n] as number) - slope)).toBeLessThan(2e-3 * Math.abs(slope));
    }
  });

  test('refuses a map to another shape', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3]);
    const y = linear(x, graph.input('matrix', [3, 4]));
    expect(() => hutchinsonTrace(y, x, graph.input('v', [2, 4]))).toThrow(
      'input of hutchinsonTrace has shape [2, 3], expected [2, 4]',
    );
  });
});
