import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type Target } from '../../src/diffusion/index.ts';
import { reshape, type Value } from '../../src/graph/graph.ts';
import { attention } from '../../src/graph/ops/attention.ts';
import { add, multiply } from '../../src/graph/ops/elementwise.ts';
import { embedding } from '../../src/graph/ops/embedding.ts';
import { linear } from '../../src/graph/ops/linear.ts';
import { multiplySamples } from '../../src/graph/ops/multiply-samples.ts';
import type { Classifier } from '../../src/models/classifier.ts';
import { classifierSlope } from '../../src/models/classifier-slope.ts';
import type { Model } from '../../src/models/model.ts';
import type { ParameterLayout } from '../../src/models/parameter-layout.ts';
import { type ModelWeights, parameterTable } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { dpmSolver, type Guidance } from '../../src/samplers/index.ts';
import { sample } from '../../src/samplers/sample.ts';
import { linearSchedule } from '../../src/schedules/index.ts';

/*
 * Two classes on a line, x0 ~ N(c m, s^2) with c = -1 or 1, as often as each other. Everything is known of them:
 *
 *     p(c | x_t)   = 1 / (1 + exp(-2 c a x_t)),   a = signal m / V,   V = signal^2 s^2 + noise^2
 *     E[x0 | x_t]  = E[c | x_t] m noise^2 / V + signal s^2 x_t / V
 *
 * where E[c | x_t] is c for one class and tanh(a x_t) for both. As a target the class needs no factor of the noise level.
 */
const [m, s] = [0.5, 0.5];
const slopeOf = (alphaBar: number): number => (Math.sqrt(alphaBar) * m) / (alphaBar * s * s + 1 - alphaBar);
const side: Target = {
  name: 'side',
  description: 'the class, -1 or 1: x0 without what x_t says of it otherwise, in units of m',
  mixture: (alphaBar) => ({ x0: 1 / m, eps: -(s * s * Math.sqrt(alphaBar)) / (m * Math.sqrt(1 - alphaBar)) }),
  told: slopeOf,
};
const diffusion = gaussianDiffusion({ schedule: linearSchedule(), predict: side });
const sampler = dpmSolver({ steps: 80, spacing: 'karras', clip: Infinity });
const count = 1000;
const weights = [1, 2, 4];

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

async function weightsOf(layouts: readonly ParameterLayout[], values: Record<string, number[]>): Promise<ModelWeights> {
  const table = parameterTable(layouts);
  const parameters = device.allocate(4 * table.size);
  for (const { name, offset } of table.slots) {
    await parameters.write(offset, Float32Array.from(values[name] as number[]));
  }
  return { device, table, parameters, ema: undefined };
}

const plain = (name: string, shape: number[]): ParameterLayout => ({ name, shape, layout: 'plain' });

/** A row for each label: -1, 1 and, where nothing is known of the class, 0. */
type PerLabel = readonly [left: number, right: number, none: number];

/** The network that says `sure + unsure tanh(a x + hint)`: exact for the right numbers of each label. */
async function sideModel({ sure, unsure, hint }: Record<'sure' | 'unsure' | 'hint', PerLabel>): Promise<Model> {
  const parameters = ['sure', 'unsure', 'hint'].map((name) => plain(name, [3, 1]));
  // tanh(u) is the attention of u to -1 and 1: softmax(-u, u) . (-1, 1).
  const sides = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? -1 : 1));
  const layouts = [...parameters, plain('sides', [count, 1])];
  return {
    shape: [1, 1, 1],
    classes: 2,
    nullClass: 2,
    frozen: new Set(),
    parameters: layouts,
    weights: await weightsOf(layouts, { sure: [...sure], unsure: [...unsure], hint: [...hint], sides }),
    forward({ x, t, labels, parameter }) {
      const row = (name: string): Value => reshape(embedding(parameter(name), labels as Value), x.shape);
      const tokens = (value: Value): Value => reshape(value, [1, count, 1]);
      const keys = tokens(parameter('sides'));
      const seen = add(multiplySamples(x, t), row('hint'));
      const tanh = reshape(attention(tokens(seen), keys, keys, { scale: 1 }), x.shape);
      return add(row('sure'), multiply(row('unsure'), tanh));
    },
  };
}

/** The classifier with p(c | x_t) above. */
async function sideClassifier(): Promise<Classifier> {
  const layouts = [plain('logits', [1, 2])];
  const config = { channels: [], layers: 0, dropout: 0, timeConditioned: true };
  return {
    kind: 'classifier',
    config: { ...config, shape: [1, 1, 1], classes: 2 },
    shape: [1, 1, 1],
    classes: 2,
    featureSize: 1,
    frozen: new Set(),
    parameters: layouts,
    weights: await weightsOf(layouts, { logits: [-1, 1] }),
    forward({ x, t, parameter }) {
      const features = reshape(multiplySamples(x, t as Value), [x.shape[0] ?? 0, 1]);
      return { logits: linear(features, parameter('logits')), features };
    },
  };
}

/** Samples that are to be of the right class, drawn with a guidance. */
async function draw(model: Model, guidance: Guidance | number, label = 1): Promise<Float32Array> {
  const labels = new Int32Array(count).fill(label);
  return (await sample({ model, diffusion, device, sampler, count, batchSize: count, seed: 5, labels, guidance }))
    .images;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const share = (samples: Float32Array, of: (x: number) => number): number =>
  samples.reduce((sum, x) => sum + of(x), 0) / samples.length;
/** How many lie on the right side, and how sure the exact classifier is of them. */
const accuracy = (samples: Float32Array): number => share(samples, (x) => Number(x > 0));
const certainty = (samples: Float32Array): number => share(samples, (x) => sigmoid((2 * m * x) / (s * s)));

/** P(z > x) for z ~ N(0, 1), by Simpson's rule. */
function upperTail(x: number): number {
  const [steps, end] = [4000, 12];
  const h = (end - x) / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++)
    sum += (i === 0 || i === steps ? 1 : i % 2 === 0 ? 2 : 4) * Math.exp(-((x + i * h) ** 2) / 2);
  return (sum * h) / 3 / Math.sqrt(2 * Math.PI);
}

/**
 * The share of samples on the right side, without drawing any: the deterministic sampler keeps the order of points on a line, so that
 * it is the share of x_T ~ N(0, 1) above the one that ends at 0.
 */
function exactAccuracy(said: (ax: number) => number): number {
  const endOf = (xT: number): number => {
    const network = (xt: Float64Array, t: number): Float64Array => xt.map((x) => said(diffusion.told(t) * x));
    return simulate(sampler, diffusion, network, Float64Array.of(xT), () => new Float64Array(1)).at(-1)?.x[0] as number;
  };
  let [below, above] = [-40, 40];
  while (above - below > 1e-9) {
    const middle = (below + above) / 2;
    if (endOf(middle) > 0) above = middle;
    else below = middle;
  }
  return upperTail(below);
}

/** The samples have the accuracy of theory, and the more of it the more they are guided. */
function expectRising(drawn: readonly Float32Array[], exact: readonly number[]): void {
  for (const [i, samples] of drawn.entries()) {
    const expected = exact[i] as number;
    const error = 5 * Math.sqrt((expected * (1 - expected)) / count) + 1 / count;
    expect(Math.abs(accuracy(samples) - expected), `${accuracy(samples)} for ${expected}`).toBeLessThan(error);
    if (i === 0) continue;
    const before = drawn[i - 1] as Float32Array;
    expect(expected).toBeGreaterThan(exact[i - 1] as number);
    expect(accuracy(samples)).toBeGreaterThan(accuracy(before));
    expect(certainty(samples)).toBeGreaterThan(certainty(before));
    // Not only the share: every single sample moves away from the other class.
    expect(samples.every((x, k) => x > (before[k] as number))).toBe(true);
  }
}

const exactModel = (): Promise<Model> => sideModel({ sure: [-1, 1, 0], unsure: [0, 0, 1], hint: [0, 0, 0] });

describe('class purity rises with the weight of the guidance', () => {
  const guided = (without: (u: number) => number) =>
    weights.map((w) => exactAccuracy((u) => without(u) + w * (1 - without(u))));

  test('classifier-free guidance', async () => {
    const model = await exactModel();
    const exact = guided(Math.tanh);
    // Unguided, the samples are those of the class: on the right side is P(z > -m / s), but for the error of 80 steps and of starting at N(0, 1).
    expect(Math.abs((exact[0] as number) - upperTail(-m / s))).toBeLessThan(0.002);
    const drawn: Float32Array[] = [];
    for (const weight of weights) drawn.push(await draw(model, weight));
    expectRising(drawn, exact);
  });

  test('guidance by a classifier, which of an exact one is the same', async () => {
    const model = await exactModel();
    const network = await sideClassifier();
    const slope = classifierSlope(network);
    const labels = new Int32Array(count).fill(1);
    const drawn: Float32Array[] = [];
    for (const scale of weights) {
      // The network itself is told no class.
      drawn.push(await draw(model, { kind: 'classifier', scale, network, slope, labels }, 2));
      const free = await draw(model, scale);
      const largest = free.reduce((far, x, i) => Math.max(far, Math.abs(x - (drawn.at(-1)?.[i] as number))), 0);
      expect(largest).toBeLessThan(1e-3);
    }
    expectRising(drawn, guided(Math.tanh));
  });

  test('autoguidance by a network that mistakes one label in five', async () => {
    const model = await exactModel();
    const doubt = 0.5 * Math.log(0.8 / 0.2);
    const worse = await sideModel({ sure: [0, 0, 0], unsure: [1, 1, 1], hint: [-doubt, doubt, 0] });
    const drawn: Float32Array[] = [];
    for (const weight of weights) drawn.push(await draw(model, { kind: 'autoguidance', weight, model: worse }));
    expectRising(
      drawn,
      guided((u) => Math.tanh(u + doubt)),
    );
  });
});
