import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradient } from '../../src/graph/gradient.ts';
import { concatChannels, Graph, reshape, sliceChannels, type Value } from '../../src/graph/graph.ts';
import { add, copy, fill, scale } from '../../src/graph/ops/elementwise.ts';
import { silu } from '../../src/graph/ops/silu.ts';
import { plan } from '../../src/graph/plan.ts';
import { compile } from '../../src/graph/program.ts';
import { type Device, openDevice } from '../../src/native/device.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => i + 1);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe('gradient', () => {
  test('adds up over several uses and passes through views', async () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3, 4]);
    const joined = concatChannels([scale(x, 2), x]);
    const y = add(sliceChannels(joined, 1, 4), reshape(reshape(x, [6, 4]), [2, 3, 4]), { beta: 5 });
    const seed = graph.input('seed', y.shape);
    const dx = gradient([{ value: y, gradient: seed }], [x]).get(x) as Value;
    using program = compile(graph, { device, outputs: { dx } });
    const s = numbers(24);
    const result = await program.run({ inputs: { x: numbers(24), seed: s } });
    // Channel c of the slice is 2 x[c + 1] for c < 3 and x[0] for c = 3.
    const expected = Float32Array.from(s, (value, i) => {
      const [row, c] = [Math.floor(i / 4), i % 4];
      return 5 * value + (c > 0 ? 2 * (s[row * 4 + c - 1] ?? 0) : (s[row * 4 + 3] ?? 0));
    });
    expect(result.dx).toEqual(expected);
  });

  test('sums the gradients of a concatenation once, not of each part', () => {
    const graph = new Graph();
    const [a, b] = [graph.input('a', [3, 4]), graph.input('b', [3, 5])];
    const joined = concatChannels([scale(a, 2), reshape(scale(b, 3), [3, 5])]);
    const before = graph.nodes.length;
    gradient([{ value: add(silu(joined), scale(joined, 4)), gradient: graph.input('seed', [3, 9]) }], [a, b]);
    expect(graph.nodes.slice(before).filter(({ kernel }) => kernel === 'add')).toHaveLength(2); // one is the forward's
  });

  test('gives zeros where nothing depends on a value', async () => {
    const graph = new Graph();
    const x = graph.input('x', [3]);
    const y = graph.input('y', [3]);
    const dy = gradient([{ value: scale(x, 2), gradient: fill(graph, [3], 1) }], [y]).get(y) as Value;
    using program = compile(graph, { device, outputs: { dy } });
    expect((await program.run({ inputs: { x: numbers(3), y: numbers(3) } })).dy).toEqual(new Float32Array(3));
  });

  test('computes cheap values again instead of keeping them', () => {
    const graph = new Graph();
    const x = graph.input('x', [1000]);
    let h = x;
    for (let i = 0; i < 4; i++) h = silu(scale(h, 1.5));
    const before = graph.nodes.length;
    const dx = gradient([{ value: h, gradient: fill(graph, [1000], 1) }], [x]).get(x) as Value;
    const again = graph.nodes.slice(before).filter(({ kernel }) => kernel === 'silu_forward');
    expect(again).toHaveLength(0); // silu's gradient reads its input, which is kept: nothing needs its output again
    expect(plan(graph, [dx], new Map()).nodes.length).toBeGreaterThan(0);
  });

  test('a gradient of silu of silu is right', async () => {
    const graph = new Graph();
    const x = graph.input('x', [5]);
    const y = silu(silu(x));
    const dx = gradient([{ value: y, gradient: fill(graph, [5], 1) }], [x]).get(x) as Value;
    using program = compile(graph, { device, outputs: { y, dx } });
    const result = await program.run({ inputs: { x: numbers(5) } });
    const f = (v: number): number => v * sigmoid(v);
    numbers(5).forEach((v, i) => {
      expect(result.dx[i]).toBeCloseTo((f(f(v + 1e-4)) - f(f(v - 1e-4))) / 2e-4, 4);
    });
  });
});

describe('plan', () => {
  test('puts the parts of a concatenation into it and copies nothing', () => {
    const graph = new Graph();
    const x = graph.input('x', [4, 16]);
    const a = scale(x, 2);
    const b = scale(x, 3);
    const y = scale(concatChannels([a, b]), 1.5);
    const planned = plan(graph, [y], new Map());
    expect(planned.nodes.map(({ kernel }) => kernel)).toEqual(['scale', 'scale', 'scale']);
    expect(planned.locate(a).rowStride).toBe(32);
    expect(planned.locate(b).byteOffset - planned.locate(a).byteOffset).toBe(16 * 4);
  });

  test('copies a part that is an input or already part of another concatenation', async () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 2]);
    const a = scale(x, 2);
    const left = concatChannels([a, x]);
    const right = concatChannels([x, a]);
    const y = add(left, right);
    using program = compile(graph, { device, outputs: { y } });
    expect([...(await program.run({ inputs: { x: numbers(4) } })).y]).toEqual([3, 6, 3, 6, 9, 12, 9, 12]);
  });

  test('leaves out what nobody needs and reuses memory', () => {
    const graph = new Graph();
    const x = graph.input('x', [1024]);
    scale(x, 9);
    let h: Value = x;
    for (let i = 0; i < 20; i++) h = scale(h, 1.1);
    const planned = plan(graph, [h], new Map());
    expect(planned.nodes).toHaveLength(20);
    expect(planned.arenaBytes).toBe(2 * 4096);
    expect(planned.arenaBytes).toBeGreaterThanOrEqual(planned.liveBytes);
  });

  test('no two values that are alive at once share memory', () => {
    const graph = new Graph();
    const values: Value[] = [graph.input('x', [64])];
    for (let i = 0; i < 60; i++) {
      const pick = (k: number): Value => values[(i * k + 7 * k) % values.length] as Value;
      values.push(add(pick(3), pick(5)));
    }
    const planned = plan(graph, [values.at(-1) as Value], new Map());
    const lastUse = new Map<Value, number>();
    planned.nodes.forEach((node, time) => {
      for (const value of node.inputs.values()) lastUse.set(value, time);
    });
    const alive = new Map<number, Value>();
    planned.nodes.forEach((node, time) => {
      for (const value of node.outputs.values()) {
        const { byteOffset } = planned.locate(value);
        const owner = alive.get(byteOffset);
        if (owner) expect(lastUse.get(owner) ?? -1, `${owner.name} at call ${time}`).toBeLessThan(time);
        alive.set(byteOffset, value);
      }
    });
  });

  test('what is copied into a buffer is there for the nodes behind', async () => {
    const graph = new Graph();
    const doubled = scale(graph.input('x', [2, 4]), 2);
    const placements = new Map([[sliceChannels(doubled, 1, 2), { buffer: 'kept', offset: 0 }]]);
    const y = scale(graph.external('kept', [4], 'kept', 0), 10);
    using kept = device.allocate(4 * 4);
    using program = compile(graph, { device, outputs: { y }, placements, buffers: { kept } });
    expect([...(await program.run({ inputs: { x: numbers(8) } })).y]).toEqual([40, 60, 120, 140]);
  });

  test('a transient buffer takes room only while something is in it, and is 0 where nothing is written', async () => {
    const graph = new Graph();
    const x = graph.input('x', [1024]);
    // An image that is read before the buffer is written, a gap of 16, then a part that comes late.
    const early = scale(x, 2);
    const first = scale(early, 3);
    const second = scale(first, 5);
    const placements = new Map([
      [first, { buffer: 'flat', offset: 0 }],
      [second, { buffer: 'flat', offset: 1040 }],
    ]);
    const flat = copy(graph.external('flat', [2064], 'flat', 0));
    const transient = { flat: 2064 };
    const planned = plan(graph, [flat], placements, { transient });
    expect(planned.locate(first)).toMatchObject({ buffer: undefined, byteOffset: 0 });
    expect(planned.locate(second)).toMatchObject({ buffer: undefined, byteOffset: 1040 * 4 });
    // `x` and `early` lie where the parts will: beside the buffer there is room for what is read alone.
    expect(planned.arenaBytes).toBe(2 * 2064 * 4);
    using program = compile(graph, { device, outputs: { flat }, placements, transient });
    for (let run = 0; run < 2; run++) {
      const { flat: read } = await program.run({ inputs: { x: numbers(1024) } });
      expect([...read.subarray(0, 1024)]).toEqual([...numbers(1024)].map((value) => value * 6));
      expect([...read.subarray(1024, 1040)]).toEqual(new Array(16).fill(0));
      expect([...read.subarray(1040)]).toEqual([...numbers(1024)].map((value) => value * 30));
    }
  });
});

describe('errors', () => {
  const graph = new Graph();
  const x = graph.input('x', [2, 3]);
  test.each<[string, () => unknown]>([
    ["already has an input named 'x'", () => graph.input('x', [1])],
    ['is no shape', () => graph.input('bad', [2, 0])],
    ['outside the 3 channels', () => sliceChannels(x, 2, 2)],
    ['the channels and the number of elements must stay', () => reshape(x, [3, 2])],
    ['all but the channels must agree', () => concatChannels([x, graph.input('z', [3, 3])])],
    ['belongs to another graph', () => add(x, new Graph().input('w', [2, 3]))],
    ['has shape [3, 2], expected [2, 3]', () => add(x, graph.input('v', [3, 2]))],
  ])('%s', (message, body) => {
    expect(body).toThrow(message);
  });

  test('runs refuse what does not fit and name it', async () => {
    const small = new Graph();
    const input = small.input('x', [2]);
    const y = add(input, fill(small, [2], small.scalar('s')));
    using program = compile(small, { device, outputs: { y } });
    await expect(program.run({ scalars: { s: 1 } })).rejects.toThrow("the input 'x', f32 [2], is missing");
    await expect(program.run({ inputs: { x: numbers(3) }, scalars: { s: 1 } })).rejects.toThrow("'x' has 3 elements");
    await expect(program.run({ inputs: { x: new Uint8Array(2) }, scalars: { s: 1 } })).rejects.toThrow(
      "'x' is a Uint8Array",
    );
    await expect(program.run({ inputs: { x: numbers(2) } })).rejects.toThrow("the scalar 's' is missing");
    await expect(program.run({ inputs: { x: numbers(2) }, scalars: { s: 1, q: 2 } })).rejects.toThrow("no scalar 'q'");
    program.dispose();
    await expect(program.run({ inputs: { x: numbers(2) }, scalars: { s: 1 } })).rejects.toMatchObject({
      code: 'ERR_DISPOSED',
    });
  });

  test('a NaN is traced to the call that made it', async () => {
    const small = new Graph();
    const y = scale(
      small.scope('block', () => scale(small.input('x', [2]), Number.POSITIVE_INFINITY)),
      2,
    );
    using program = compile(small, { device, outputs: { y } });
    await expect(program.run({ inputs: { x: new Float32Array(2) }, checkFinite: true })).rejects.toMatchObject({
      code: 'ERR_NON_FINITE',
      message: 'block.scale (y) holds NaN',
    });
  });
});
