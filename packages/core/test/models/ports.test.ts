import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modelFormats, type SavedModels } from '../../src/checkpoint/model-kinds.ts';
import { elementCount, Graph, type Value } from '../../src/graph/graph.ts';
import { compile } from '../../src/graph/program.ts';
import type { PortOptions } from '../../src/models/blocks/ports.ts';
import { mlp } from '../../src/models/mlp.ts';
import { unet1d } from '../../src/models/unet1d.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { videoUNet } from '../../src/models/video-unet.ts';
import { initializeModel, parameterTable, parameterValues } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { normals } from '../random/normal.ts';

type DiffusionModel = SavedModels['unet2d' | 'mlp' | 'unet1d' | 'video-unet'];

const models: Readonly<Record<string, (options: PortOptions) => DiffusionModel>> = {
  unet2d: (options) => new UNet2D({ shape: [8, 8, 2], channels: [4, 8], layers: 1, ...options }),
  unet1d: (options) => unet1d({ shape: [8, 2], channels: [4, 8], ...options }),
  mlp: (options) => mlp({ shape: [3], width: 8, layers: 1, ...options }),
  'video-unet': (options) => videoUNet({ shape: [2, 4, 4, 1], channels: [4, 8], ...options }),
};

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

/** What a model with weights of seed 0 says of two samples; with an estimate, or without one. */
async function outputOf(model: DiffusionModel, estimate?: Float32Array): Promise<Float32Array> {
  const shape = [2, ...model.shape];
  await initializeModel(model, device);
  const graph = new Graph();
  const values = parameterValues(graph, parameterTable(model.parameters));
  const output = model.forward({
    x: graph.input('x', shape),
    t: graph.input('t', [2]),
    estimate: estimate && graph.input('estimate', shape),
    parameter: (name) => values.get(name) as Value,
  });
  const buffers = { parameters: (model.weights as NonNullable<typeof model.weights>).parameters };
  using program = compile(graph, { device, buffers, outputs: { output } });
  const x = Float32Array.from(normals(1, elementCount(shape)));
  const { output: said } = await program.run({
    inputs: { x, t: Float32Array.of(3, 800), ...(estimate && { estimate }) },
  });
  return said;
}

describe.each(Object.entries(models))('%s', (kind, create) => {
  test('with a learned variance says as many channels again', async () => {
    const model = create({ learnedVariance: true });
    expect(model).toMatchObject({ learnedVariance: true, selfConditioning: false, shape: create({}).shape });
    expect(await outputOf(model)).toHaveLength(4 * elementCount(model.shape));
    expect(await outputOf(create({}))).toHaveLength(2 * elementCount(model.shape));
  });

  test('that is self-conditioned takes an estimate; none is one of zeros', async () => {
    const model = create({ selfConditioning: true });
    const size = 2 * elementCount(model.shape);
    const [none, zeros, ones] = [
      await outputOf(model),
      await outputOf(model, new Float32Array(size)),
      await outputOf(model, new Float32Array(size).fill(1)),
    ];
    expect(none).toHaveLength(size);
    expect(none).toEqual(zeros);
    expect(ones).not.toEqual(zeros);
  });

  test('that is not self-conditioned refuses an estimate', async () => {
    const model = create({});
    await expect(outputOf(model, new Float32Array(2 * elementCount(model.shape)))).rejects.toThrow(
      'the model does not take its own estimate',
    );
  });

  test.each<PortOptions>([
    {},
    { learnedVariance: true },
    { selfConditioning: true },
    { learnedVariance: true, selfConditioning: true },
  ])('is made again from its configuration: %j', (options) => {
    const model = create(options);
    const { toJson, fromJson } = modelFormats[kind as 'mlp'];
    const again = fromJson(JSON.parse(JSON.stringify(toJson(model.config as never))), 'config.json');
    const { shape, learnedVariance, selfConditioning, parameters } = model;
    expect(again).toMatchObject({ shape, learnedVariance, selfConditioning, parameters });
  });
});

describe('the configuration of a U-Net for images', () => {
  test('has the channels of diffusers; what diffusers has no word for begins with an underscore', () => {
    const { toJson } = modelFormats.unet2d;
    const model = new UNet2D({ shape: [8, 8, 3], channels: [4], learnedVariance: true, selfConditioning: true });
    expect(toJson(model.config)).toMatchObject({ in_channels: 6, out_channels: 6, _self_conditioning: true });
    expect(toJson(new UNet2D({ shape: [8, 8, 3], channels: [4] }).config)).not.toHaveProperty('_self_conditioning');
  });

  test.each([
    [{ in_channels: 3, out_channels: 4 }, '3 channels in, 4 out'],
    [{ in_channels: 6, out_channels: 3 }, '6 channels in, 3 out'],
    [{ in_channels: 5, out_channels: 5, _self_conditioning: true }, 'expected an even number'],
  ])('of a network that cannot diffuse is refused: %j', (channels, problem) => {
    const { toJson, fromJson } = modelFormats.unet2d;
    const json = { ...(toJson(new UNet2D({ shape: [8, 8, 3], channels: [4] }).config) as object), ...channels };
    expect(() => fromJson(json, 'config.json')).toThrow(problem);
  });
});
