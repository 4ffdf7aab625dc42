import {
  adamwEma,
  compile,
  copy,
  type Device,
  dropout,
  embedding,
  Graph,
  noising,
  openDevice,
  randomNormal,
  samplerUpdate,
  timeEmbedding,
  type Value,
} from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

/** Compiles and runs a graph whose only input is `x`, ones of the given shape. */
async function run(
  build: (x: Value, graph: Graph) => Value,
  { shape = [2, 8], scalars = {} }: { shape?: readonly number[]; scalars?: Record<string, number> } = {},
): Promise<Float32Array> {
  const graph = new Graph();
  const x = graph.input('x', shape);
  using program = compile(graph, { device, outputs: { y: build(x, graph) } });
  const inputs = { x: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1) };
  return (await program.run({ inputs, scalars })).y;
}

const stream = { seedLow: 0, seedHigh: 0, step: 0, sampleOffset: 0 };
const update = {
  ...stream,
  x0FromX: 1,
  x0FromPrediction: 0,
  clip: 1,
  coefficientX: 0,
  coefficientX0: 1,
  coefficientPrediction: 0,
  coefficientHistory: 0,
  coefficientNoise: 0,
};

describe('kernels refuse what they cannot compute', () => {
  test('a seed that is no 32-bit word', async () => {
    const build = (_: Value, graph: Graph): Value =>
      randomNormal(graph, [2, 3], { ...stream, purpose: 1, seedLow: graph.scalar('seed') });
    for (const seed of [-1, 0.5, 2 ** 32, Number.NaN]) {
      await expect(run(build, { scalars: { seed } })).rejects.toMatchObject({
        code: 'ERR_ARGUMENT',
        message: expect.stringContaining('seedLow must be an integer in [0, 2^32)'),
      });
    }
  });

  test('a class that the table does not have', async () => {
    for (const index of [-1, 3]) {
      const graph = new Graph();
      const y = embedding(graph.input('table', [3, 4]), graph.input('index', [2], 'i32'));
      using program = compile(graph, { device, outputs: { y } });
      const inputs = { table: new Float32Array(12), index: Int32Array.of(0, index) };
      await expect(program.run({ inputs })).rejects.toMatchObject({
        code: 'ERR_ARGUMENT',
        message: expect.stringContaining(`index ${index} of sample 1 is not one of the classes 0 to 2`),
      });
    }
  });

  test('a layer number that would reach into the seed of another', async () => {
    const build = (x: Value): Value => dropout(x, { ...stream, probability: 0.5, layer: 2 ** 24 });
    await expect(run(build)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
  });

  test('frequencies that would divide by zero', async () => {
    const build = (x: Value): Value => timeEmbedding(x, { dimension: 2, frequencyShift: 1 });
    await expect(run(build, { shape: [4] })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringContaining('frequencyShift'),
    });
  });

  test('a noise level that the table does not have', async () => {
    for (const level of [-1, 0.5, 4, Number.NaN]) {
      const graph = new Graph();
      const given = graph.input('level', [2]);
      const { xt } = noising(graph.input('x', [2, 3]), graph.input('table', [4, 6]), { ...stream, level: given });
      using program = compile(graph, { device, outputs: { xt } });
      const inputs = { x: new Float32Array(6), table: new Float32Array(24), level: Float32Array.of(3, level) };
      await expect(program.run({ inputs })).rejects.toMatchObject({
        code: 'ERR_ARGUMENT',
        message: expect.stringMatching(/the level \S+ is not an integer in \[0, 4\)/),
      });
    }
  });

  test('a bound that leaves no x0', async () => {
    const build = (x: Value, graph: Graph): Value =>
      samplerUpdate({ x, prediction: x }, { ...update, clip: graph.scalar('clip') }).xNext;
    for (const clip of [0, -1, Number.NaN]) {
      await expect(run(build, { scalars: { clip } })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    }
    expect([...(await run(build, { scalars: { clip: 0.5 } }))]).toEqual(new Array(16).fill(0.5));
  });
});

test('NaN passes through the clamp of x0', async () => {
  const y = await run((x) => samplerUpdate({ x, prediction: x }, { ...update, x0FromX: Number.NaN }).xNext);
  expect(y.every(Number.isNaN)).toBe(true);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('a gradient of norm %d changes nothing', async (norm) => {
  const graph = new Graph();
  const x = graph.input('x', [40]);
  const state = { parameter: copy(x), firstMoment: copy(x), secondMoment: copy(x), ema: copy(x) };
  adamwEma(
    { ...state, gradient: x, norm: graph.input('norm', [1]) },
    {
      learningRate: 1,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 0.1,
      biasCorrection1: 0.1,
      biasCorrection2: 0.01,
      clipNorm: 1,
      emaDecay: 0.5,
      gradientScale: 1,
    },
  );
  using program = compile(graph, { device, outputs: state });
  const values = Float32Array.from({ length: 40 }, (_, i) => i);
  const after = await program.run({ inputs: { x: values, norm: Float32Array.of(norm) } });
  for (const array of Object.values(after)) expect([...array]).toEqual([...values]);
});
