import { describe, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import type { Placement } from '../../src/graph/arena.ts';
import { gradient } from '../../src/graph/gradient.ts';
import {
  concatChannels,
  elementCount,
  Graph,
  type Node,
  reshape,
  sliceChannels,
  type Value,
} from '../../src/graph/graph.ts';
import { addChannels } from '../../src/graph/ops/add-channels.ts';
import { conv2d } from '../../src/graph/ops/conv2d.ts';
import { add, scale } from '../../src/graph/ops/elementwise.ts';
import { linear } from '../../src/graph/ops/linear.ts';
import { silu } from '../../src/graph/ops/silu.ts';
import { type Plan, plan, planText } from '../../src/graph/plan.ts';
import { compile, estimateMemory } from '../../src/graph/program.ts';
import type { Model } from '../../src/models/model.ts';
import { unet1d } from '../../src/models/unet1d.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { videoUNet } from '../../src/models/video-unet.ts';
import { parameterTable } from '../../src/models/weights.ts';
import { openDevice } from '../../src/native/device.ts';
import { kernelSignature } from '../../src/native/kernels.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { diffusionObjective } from '../../src/training/objectives/denoising.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { trainStepGraph } from '../../src/training/train-step.ts';

/** A plan with images in bf16; whatever is planned, its calls agree with the kernels' signatures. */
function planned(
  graph: Graph,
  outputs: readonly Value[],
  placements: ReadonlyMap<Value, Placement> = new Map(),
  fused = true,
): Plan {
  const result = plan(graph, outputs, placements, { fused, images: 'bf16' });
  for (const node of result.nodes) {
    const images = new Set<string>();
    for (const { name, dtype, output } of kernelSignature(node.kernel).tensors) {
      const value = (output ? node.outputs : node.inputs).get(name);
      if (!value) continue;
      const what = `${node.name}: ${name}`;
      const storage = result.storageOf(value);
      if (dtype === 'image') images.add(storage);
      else if (dtype !== 'any') expect(storage, what).toBe(dtype);
      const { buffer, byteOffset } = result.locate(value);
      expect(byteOffset % (storage === 'bf16' ? 2 : storage === 'u8' ? 1 : 4), what).toBe(0);
      if (buffer !== undefined) expect(storage, what).toBe(value.dtype);
    }
    expect(images.size, `${node.name}: its images are ${[...images].join(', ')}`).toBeLessThan(2);
  }
  for (const output of outputs) expect(result.storageOf(output)).toBe('f32');
  return result;
}

const castsOf = ({ nodes }: Plan): Node[] => nodes.filter(({ kernel }) => kernel === 'cast');

/** What each cast turns into what. */
const castTexts = (result: Plan): string[] =>
  castsOf(result).map(({ inputs, outputs }) => {
    const [x, y] = [inputs.get('x') as Value, outputs.get('y') as Value];
    return `${result.storageOf(x)} → ${result.storageOf(y)} [${x.shape.join(', ')}]`;
  });

/** A training step with optimizer, in float32 and in bf16. */
function trainingStep(model: Model): { whole: Plan; half: Plan } {
  const { graph, outputs, placements } = trainStepGraph({
    model,
    table: parameterTable(model.parameters),
    objective: diffusionObjective(gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' })),
    batchSize: 4,
    dataType: 'u8',
    seed: 0,
    optimizer: adamW(),
    clipNorm: 1,
    ema: true,
    accumulate: 1,
  });
  const read = Object.values(outputs);
  return { whole: plan(graph, read, placements), half: planned(graph, read, placements) };
}

describe('a training step in bf16', () => {
  const model = (): UNet2D =>
    new UNet2D({ shape: [32, 32, 3], channels: [32, 64], layers: 1, attention: [16], dropout: 0.1 });

  test('halves the arena, and casts nothing but images of three channels', () => {
    const { whole, half } = trainingStep(model());
    expect(half.arenaBytes / whole.arenaBytes).toBeLessThan(0.52);
    expect(castTexts(half)).toEqual([
      'f32 → bf16 [4, 32, 32, 3]', // x_t, read by the first convolution and by its weight gradient
      'bf16 → f32 [4, 32, 32, 3]', // the prediction
      'f32 → bf16 [4, 32, 32, 3]', // its gradient
    ]);
    expect(half.nodes.length).toBe(whole.nodes.length + 3);
  });

  test('every image inside the network is bf16, and all else float32', () => {
    const { half } = trainingStep(model());
    for (const node of half.nodes) {
      for (const { name, dtype, output } of kernelSignature(node.kernel).tensors) {
        const value = (output ? node.outputs : node.inputs).get(name);
        if (dtype !== 'image' || !value) continue;
        const large = value.shape.length >= 3 && (value.shape.at(-1) as number) >= 32;
        if (large) expect(half.storageOf(value), `${node.name}: ${name}`).toBe('bf16');
        if (value.shape.length < 3) expect(half.storageOf(value), `${node.name}: ${name}`).toBe('f32');
      }
    }
  });

  test('without fusion, too', () => {
    const { graph, outputs, placements } = trainStepGraph({
      ...{ model: model(), table: parameterTable(model().parameters), batchSize: 2, dataType: 'u8', seed: 0 },
      objective: diffusionObjective(gaussianDiffusion({ schedule: cosineSchedule() })),
      ...{ optimizer: adamW(), clipNorm: 1, ema: true, accumulate: 1 },
    });
    expect(castsOf(planned(graph, Object.values(outputs), placements, false))).toHaveLength(3);
  });

  test.each([
    ['signals', () => unet1d({ shape: [64, 2], channels: [32, 64], layers: 1 }), 0.55],
    ['video', () => videoUNet({ shape: [4, 16, 16, 3], channels: [32, 64], layers: 1 }), 0.52],
  ])('models of %s', (_what, create, share) => {
    const { whole, half } = trainingStep(create());
    expect(half.arenaBytes / whole.arenaBytes).toBeLessThan(share);
    expect(castsOf(half).length).toBeLessThan(6);
  });

  test('is float32 throughout unless bf16 is asked for', () => {
    const { whole } = trainingStep(model());
    expect(castsOf(whole)).toEqual([]);
    for (const node of whole.nodes) {
      for (const value of [...node.inputs.values(), ...node.outputs.values()]) {
        expect(whole.storageOf(value)).toBe(value.dtype);
      }
    }
  });
});

describe('which values are stored as bf16', () => {
  const start = (shape: readonly number[]): { graph: Graph; x: Value } => {
    const graph = new Graph();
    return { graph, x: graph.input('x', shape) };
  };
  const shape = [2, 4, 4, 32];

  test('images between float32 ends', () => {
    const { graph, x } = start(shape);
    const [a, b] = [scale(x, 2), scale(x, 3)];
    const c = add(a, b);
    const y = scale(c, 4);
    const result = planned(graph, [y]);
    expect([a, b, c].map(result.storageOf)).toEqual(['bf16', 'bf16', 'bf16']);
    // One cast of x for both that read it.
    expect(castTexts(result)).toEqual(['f32 → bf16 [2, 4, 4, 32]', 'bf16 → f32 [2, 4, 4, 32]']);
    expect(planText(result)).toContain('y bf16 [2, 4, 4, 32]');
  });

  test('not one alone', () => {
    const { graph, x } = start(shape);
    const h = scale(x, 2);
    expect(castsOf(planned(graph, [scale(h, 3)]))).toEqual([]);
  });

  test('what a view shows is as the view; offsets are those of two bytes', () => {
    const { graph, x } = start(shape);
    const [a, b] = [silu(x), scale(x, 3)];
    const joined = concatChannels([a, reshape(b, shape)]);
    const part = sliceChannels(joined, 40, 16);
    const y = scale(silu(reshape(part, [2, 16, 16])), 2);
    const result = planned(graph, [y]);
    expect([a, b, joined, part].map(result.storageOf)).toEqual(['bf16', 'bf16', 'bf16', 'bf16']);
    const start0 = result.locate(joined).byteOffset;
    expect(result.locate(a)).toEqual({ buffer: undefined, byteOffset: start0, rowStride: 64 });
    expect(result.locate(b)).toEqual({ buffer: undefined, byteOffset: start0 + 2 * 32, rowStride: 64 });
    expect(result.locate(part)).toEqual({ buffer: undefined, byteOffset: start0 + 2 * 40, rowStride: 64 });
  });

  test('one part of a concatenation that must be float32 keeps all of it so', () => {
    const { graph, x } = start(shape);
    const a = scale(silu(scale(x, 2)), 3);
    const joined = concatChannels([a, x]);
    const result = planned(graph, [scale(silu(joined), 2)]);
    expect([a, joined].map(result.storageOf)).toEqual(['f32', 'f32']);
  });

  test('parts of two concatenations agree, through copies', () => {
    const { graph, x } = start(shape);
    const [a, b, c] = [scale(x, 2), scale(x, 3), scale(x, 4)];
    const [left, right] = [concatChannels([a, b]), concatChannels([b, c])];
    const y = add(silu(left), silu(right));
    const result = planned(graph, [scale(y, 2)]);
    expect([a, b, c, left, right].map(result.storageOf)).toEqual(Array(5).fill('bf16'));
    expect(result.nodes.filter(({ kernel }) => kernel === 'copy')).toHaveLength(1);
    // A root in one of them reaches all.
    expect([a, b, c].map(planned(graph, [scale(y, 2), a]).storageOf)).toEqual(['f32', 'f32', 'f32']);
  });

  test('what the host reads is float32, and is read inside as it was before the cast', () => {
    const { graph, x } = start(shape);
    const h = silu(silu(scale(x, 2)));
    const y = scale(silu(scale(h, 3)), 4);
    const result = planned(graph, [h, y]);
    expect(castTexts(result).sort()).toEqual([
      'bf16 → f32 [2, 4, 4, 32]',
      'bf16 → f32 [2, 4, 4, 32]',
      'f32 → bf16 [2, 4, 4, 32]',
    ]);
    const cast = castsOf(result).find(({ outputs }) => outputs.get('y') === h) as Node;
    const reader = result.nodes.filter(({ kernel }) => kernel === 'scale')[1];
    expect(reader?.inputs.get('x')).toBe(cast.inputs.get('x'));
  });

  test('few channels stay float32, unless they stand in a wider image', () => {
    const { graph, x } = start([2, 4, 4, 3]);
    const narrow = add(scale(x, 2), scale(x, 3));
    expect(castsOf(planned(graph, [scale(narrow, 2)]))).toEqual([]);
    const wide = graph.input('wide', shape);
    const joined = concatChannels([narrow, scale(wide, 2)]);
    const result = planned(graph, [scale(silu(joined), 2)]);
    expect([narrow, joined].map(result.storageOf)).toEqual(['bf16', 'bf16']);
  });

  test('vectors stay float32, also those that are a view of more dimensions', () => {
    const graph = new Graph();
    const t = graph.input('t', [8, 32]);
    const weight = graph.external('weight', [32, 32], 'parameters', 0);
    const embedding = linear(silu(scale(t, 2)), weight);
    const repeated = scale(reshape(scale(embedding, 2), [2, 4, 32]), 3);
    const result = planned(graph, [scale(silu(reshape(repeated, [8, 32])), 2)]);
    expect(castsOf(result)).toEqual([]);
    expect(result.storageOf(repeated)).toBe('f32');
  });

  test('parameters and their gradients are float32, wherever they are placed', () => {
    const { graph, x } = start([2, 4, 4, 3]);
    const weight = graph.external('weight', [3, 3, 3, 32], 'parameters', 0);
    const second = graph.external('second', [3, 3, 32, 32], 'parameters', elementCount(weight.shape));
    const time = graph.input('time', [2, 32]);
    const y = conv2d(silu(addChannels(conv2d(x, weight, undefined, { padding: 1 }), time)), second, undefined, {
      padding: 1,
    });
    const seed = graph.input('seed', y.shape);
    const slopes = gradient([{ value: y, gradient: seed }], [weight, second, time]);
    const place = (value: Value, offset: number): [Value, Placement] => [
      slopes.get(value) as Value,
      { buffer: 'gradients', offset },
    ];
    const placements = new Map([place(weight, 0), place(second, elementCount(weight.shape))]);
    const result = planned(graph, [slopes.get(time) as Value], placements);
    for (const value of placements.keys()) {
      expect(result.storageOf(value)).toBe('f32');
      expect(result.locate(value).buffer).toBe('gradients');
    }
    expect(castTexts(result)).toContain('f32 → bf16 [2, 4, 4, 3]');
  });

  test('what lies in a device buffer is cast for each reader, since it may change between them', () => {
    const graph = new Graph();
    const state = graph.external('state', shape, 'state', 0);
    const [a, b] = [scale(state, 2), scale(state, 3)];
    const result = planned(graph, [scale(add(a, b), 2)]);
    expect(castsOf(result).filter(({ inputs }) => inputs.get('x') === state)).toHaveLength(2);
  });

  test('an image placed in a device buffer is cast into it', () => {
    const { graph, x } = start(shape);
    const y = add(scale(x, 2), scale(x, 3));
    const result = planned(graph, [], new Map([[y, { buffer: 'kept', offset: 8 }]]));
    const [cast] = castsOf(result).slice(-1);
    expect(cast?.outputs.get('y')).toBe(y);
    expect(result.locate(y)).toEqual({ buffer: 'kept', byteOffset: 32, rowStride: 32 });
  });
});

describe('programs follow the precision of their device', () => {
  const chain = (): { graph: Graph; y: Value } => {
    const graph = new Graph();
    const x = graph.input('x', [2, 64, 64, 32]);
    return { graph, y: scale(silu(scale(silu(x), 2)), 3) };
  };

  test.each(['bf16', 'bf16-fast'] as const)('%s', async (precision) => {
    const { graph, y } = chain();
    using device = await openDevice('cpu', { threads: 1, precision });
    using plain = await openDevice('cpu', { threads: 1 });
    expect([device.precision, plain.precision]).toEqual([precision, 'fp32']);
    using program = compile(graph, { device, outputs: { y } });
    expect(program.explain().map(({ kernel, images }) => `${kernel} ${images}`)).toEqual([
      'cast bf16',
      'silu_forward bf16',
      'scale bf16',
      'silu_forward bf16',
      'scale bf16',
      'cast bf16',
    ]);
    expect(program.arenaBytes).toBe(estimateMemory(graph, { device, outputs: { y } }).arenaBytes);
    using reference = compile(graph, { device: plain, outputs: { y } });
    expect(reference.explain().every(({ images }) => images === 'f32')).toBe(true);
  });
});
