import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradient } from '../../src/graph/gradient.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { conv2d } from '../../src/graph/ops/conv2d.ts';
import { compile, type Program } from '../../src/graph/program.ts';
import { type Device, openDevice } from '../../src/native/device.ts';

const devices: Device[] = [];
beforeAll(async () => {
  devices.push(await openDevice('cpu'), await openDevice('cpu', { convolution: 'direct' }));
});
afterAll(() => {
  for (const device of devices) device.dispose();
});

/** A 3x3 convolution of `batch` images and its gradient by them. */
function convolution(device: Device, batch: number, size: number, channels: number): Program<'y' | 'dx'> {
  const graph = new Graph();
  const x = graph.input('x', [batch, size, size, channels]);
  const weight = graph.input('weight', [3, 3, channels, channels]);
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const dx = gradient([{ value: y, gradient: graph.input('dy', y.shape) }], [x]).get(x) as Value;
  return compile(graph, { device, outputs: { y, dx } });
}

const numbers = (count: number, shift = 0): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * i + shift));

const plans = (program: Program<string>): string[] => program.explain().map(({ plan }) => plan);

describe('a convolution', () => {
  test.each([
    [8, 128, 1, 'few tiles', 12, 'panels outside'],
    [16, 32, 1, 'few tiles', 40, 'tiles outside'],
    [7, 160, 2, 'few tiles', 12, 'panels outside'],
  ] as const)(
    'of %d x %d pixels has the same bits in a batch of %d (%s) and of %d (%s)',
    async (size, channels, few, fewPlan, many, manyPlan) => {
      const [device] = devices as [Device];
      const one = size * size * channels;
      const results = [];
      for (const [batch, plan] of [
        [few, fewPlan],
        [many, manyPlan],
      ] as const) {
        using program = convolution(device, batch, size, channels);
        for (const text of plans(program)) expect(text).toContain(`Winograd, ${plan}`);
        const inputs = { x: numbers(batch * one), dy: numbers(batch * one, 1), weight: numbers(9 * channels ** 2, 2) };
        results.push(await program.run({ inputs }));
      }
      const [alone, together] = results;
      expect(together?.y.slice(0, few * one)).toEqual(alone?.y);
      expect(together?.dx.slice(0, few * one)).toEqual(alone?.dx);
    },
  );

  test('can be computed directly, for comparison', async () => {
    const results = [];
    for (const device of devices) {
      using program = convolution(device, 2, 11, 33);
      const direct = device === devices[1];
      for (const text of plans(program)) expect(text).toMatch(direct ? /^direct, / : /^Winograd, .*\(direct /);
      results.push(await program.run({ inputs: { x: numbers(7986), dy: numbers(7986, 1), weight: numbers(9801, 2) } }));
    }
    const [fast, direct] = results as [Record<'y' | 'dx', Float32Array>, Record<'y' | 'dx', Float32Array>];
    for (const name of ['y', 'dx'] as const) {
      const error = Math.hypot(...fast[name].map((value, i) => value - (direct[name][i] as number)));
      const relative = error / Math.hypot(...direct[name]);
      expect(relative).toBeGreaterThan(0);
      expect(relative).toBeLessThan(2e-6);
    }
  });

  test('tells the shapes of its calls', () => {
    using program = convolution(devices[0] as Device, 1, 8, 16);
    const [forward] = program.explain();
    expect(forward).toMatchObject({
      kernel: 'conv2d_forward',
      shapes: { x: [1, 8, 8, 16], weight: [3, 3, 16, 16], y: [1, 8, 8, 16] },
    });
  });
});
