import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradient } from '../../src/graph/gradient.ts';
import { concatChannels, Graph, type Value } from '../../src/graph/graph.ts';
import { addChannels } from '../../src/graph/ops/add-channels.ts';
import { conv2d } from '../../src/graph/ops/conv2d.ts';
import { add } from '../../src/graph/ops/elementwise.ts';
import { groupNorm } from '../../src/graph/ops/group-norm.ts';
import { linear } from '../../src/graph/ops/linear.ts';
import { silu } from '../../src/graph/ops/silu.ts';
import { upsampleNearest } from '../../src/graph/ops/upsample-nearest.ts';
import { plan } from '../../src/graph/plan.ts';
import { compile } from '../../src/graph/program.ts';
import { type Device, openDevice } from '../../src/native/device.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

/** Numbers without a pattern, of mean 0 and of this size. */
const numbers = (count: number, size = 1): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => size * Math.sin(i * i + 0.3 * i));

/** A graph whose every input has a gradient that is asked for. */
class Study {
  readonly graph = new Graph();
  readonly #inputs = new Map<string, [Value, number]>();

  input(name: string, shape: readonly number[], size = 1): Value {
    const value = this.graph.input(name, shape);
    this.#inputs.set(name, [value, size]);
    return value;
  }

  conv(name: string, x: Value, channels: number, window = 3): Value {
    const weight = this.input(`${name}.weight`, [window, window, x.shape[3] as number, channels], 0.2);
    return conv2d(x, weight, this.input(`${name}.bias`, [channels]), { padding: (window - 1) / 2 });
  }

  norm(name: string, x: Value, silu = true): Value {
    const channels = x.shape[3] as number;
    return groupNorm(x, this.input(`${name}.gamma`, [channels]), this.input(`${name}.beta`, [channels]), {
      groups: 4,
      silu,
    });
  }

  /** GroupNorm, SiLU, convolution, plus time, GroupNorm, SiLU, convolution, plus what came in. */
  block(name: string, x: Value, channels: number): Value {
    const time = this.input(`${name}.time`, [x.shape[0] as number, channels]);
    const first = addChannels(this.conv(`${name}.conv1`, this.norm(`${name}.norm1`, x), channels), time);
    const second = this.conv(`${name}.conv2`, this.norm(`${name}.norm2`, first), channels);
    const way = x.shape[3] === channels ? x : this.conv(`${name}.shortcut`, x, channels, 1);
    return add(way, second);
  }

  /** Results and all gradients, fused and not, of what is given; and the kernels that run. */
  async compare(outputs: Readonly<Record<string, Value>>): Promise<string[]> {
    const seeds = Object.entries(outputs).map(([name, value]) => ({
      value,
      gradient: this.graph.input(`seed of ${name}`, value.shape),
    }));
    const gradients = gradient(
      seeds,
      [...this.#inputs.values()].map(([value]) => value),
    );
    const wanted: Record<string, Value> = { ...outputs };
    for (const [name, [value]] of this.#inputs) wanted[`d ${name}`] = gradients.get(value) as Value;
    const inputs: Record<string, Float32Array> = {};
    for (const value of this.graph.inputs) {
      const [, size = 1] = this.#inputs.get(value.name) ?? [];
      inputs[value.name] = numbers(
        value.shape.reduce((a, b) => a * b, 1),
        size,
      );
    }
    using whole = compile(this.graph, { device, outputs: wanted });
    using separate = compile(this.graph, { device, outputs: wanted, fused: false });
    const [found, expected] = [await whole.run({ inputs }), await separate.run({ inputs })];
    for (const name of Object.keys(wanted)) {
      const [a, b] = [found[name] as Float32Array, expected[name] as Float32Array];
      const error = Math.hypot(...a.map((value, i) => value - (b[i] as number)));
      expect(error / Math.hypot(...b), name).toBeLessThan(1e-5);
    }
    return plan(this.graph, Object.values(wanted), new Map()).nodes.map((node) => node.kernel);
  }
}

const count = (kernels: readonly string[], name: string): number =>
  kernels.filter((kernel) => kernel.startsWith(name)).length;

describe('fused ops give what separate ones give', () => {
  test.each([
    ['Winograd', 32, 32],
    ['few channels', 4, 12],
    ['a shortcut', 32, 64],
    ['vectors that are not full', 36, 36],
  ])('a residual block: %s', async (_what, channels, outputs) => {
    const study = new Study();
    const x = study.conv('in', study.input('x', [2, 9, 7, 3]), channels);
    const kernels = await study.compare({
      y: study.conv('out', study.norm('norm', study.block('block', x, outputs)), 3),
    });
    // Nothing is left but convolutions, what is worked out once a sample, and the sum of the gradients of x.
    for (const gone of ['channel_moments', 'normalise_forward', 'normalise_backward', 'add_channels', 'sum_pixels']) {
      expect(count(kernels, gone), gone).toBe(0);
    }
  });

  test('blocks across a concatenation and an upsampling', async () => {
    const study = new Study();
    const x = study.conv('in', study.input('x', [2, 4, 4, 3]), 16);
    const down = study.block('down', x, 16);
    const up = study.conv('up', upsampleNearest(concatChannels([study.block('middle', down, 16), down]), 2), 16);
    await study.compare({ y: study.block('last', up, 32) });
  });

  test('without SiLU, and with values that are read from outside', async () => {
    const study = new Study();
    const x = study.input('x', [2, 8, 8, 16]);
    const plain = study.norm('plain', study.conv('a', x, 16), false);
    const y = study.conv('b', plain, 16);
    await study.compare({ y, plain, moved: addChannels(y, study.input('time', [2, 16])) });
  });

  test('what is added to a product', async () => {
    const study = new Study();
    const x = study.input('x', [2, 6, 16]);
    const map = (name: string, from: Value): Value => linear(from, study.input(name, [16, 16], 0.2));
    // x has three gradients from the products and one from the sum.
    const three = silu(concatChannels([map('q', x), map('k', x), map('v', x)]));
    const y = add(x, linear(three, study.input('out', [48, 16], 0.2)));
    const kernels = await study.compare({ y });
    expect(count(kernels, 'add')).toBe(0);
  });

  test('a normalised image that other ops read too', async () => {
    const study = new Study();
    const normal = study.norm('norm', study.conv('a', study.input('x', [2, 8, 8, 16]), 16));
    const kernels = await study.compare({ y: add(study.conv('b', normal, 16), normal) });
    expect(count(kernels, 'normalise_forward')).toBeGreaterThan(0);
  });
});
