import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { gradient } from '../../src/graph/gradient.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { weightedMse } from '../../src/graph/ops/weighted-mse.ts';
import { compile, type TensorData } from '../../src/graph/program.ts';
import { fileOrder, parameterSize } from '../../src/models/parameter-layout.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { configFromDiffusers } from '../../src/models/unet2d-config.ts';
import { type ParameterSlot, parameterTable, parameterValues } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { channelsLast, goldenFolder, largestDifference } from './golden.ts';

/** The numbers that golden/unet_options.py computes with. */
function sines(seed: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(1 + 0.7 * seed + 1.3 * i));
}

/** Weights of a parameter in the order of files; `index` counts the parameters in PyTorch's order. */
function weightsOf(slot: ParameterSlot, index: number): Float32Array {
  const numbers = sines(index, parameterSize(slot));
  if (slot.name === 'time_proj.weight') return numbers;
  if (slot.shape.length === 1) return numbers.map((x) => Math.fround(0.1 * x) + (slot.name.endsWith('weight') ? 1 : 0));
  // PyTorch's first dimension is the outputs (the rows of a table); the rest is what a sum runs over.
  const outputs = slot.layout === 'plain' ? slot.shape[0] : slot.shape.at(-1);
  return numbers.map((x) => x / Math.sqrt(numbers.length / (outputs ?? 1)));
}

async function openGolden() {
  const file = await openSafetensors(`${goldenFolder('unet-options')}.safetensors`);
  return { file, configs: JSON.parse(file.metadata.configs ?? '{}') as Record<string, Record<string, unknown>> };
}
const { file, configs } = await openGolden();

describe('options of UNet2DModel', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(async () => {
    device.dispose();
    await file.close();
  });

  test('every option is covered', () => {
    expect(Object.keys(configs).length).toBeGreaterThan(15);
  });

  test.each(Object.keys(configs))('%s: output and gradients are those of diffusers', async (name) => {
    const model = UNet2D.fromConfig(configFromDiffusers(configs[name]));
    const table = parameterTable(model.parameters);
    using parameters = device.allocate(table.size * 4);
    for (const [index, slot] of table.slots.entries()) {
      await parameters.write(slot.offset, weightsOf(slot, index), fileOrder(slot));
    }
    const graph = new Graph();
    const values = parameterValues(graph, table);
    const shape = [2, ...model.shape];
    const [height = 0, width = 0, channels = 0] = model.shape;
    const image = (seed: number): Float32Array =>
      channelsLast(sines(seed, 2 * height * width * channels), [2, channels, height, width]);
    const inputs: Record<string, TensorData> = { x: image(900), target: image(901), t: Float32Array.of(10, 700) };
    const output = model.forward({
      x: graph.input('x', shape),
      t: graph.input('t', [2]),
      labels: labelsOf(graph, model, inputs),
      parameter: (key) => values.get(key) as Value,
    });
    const { loss } = weightedMse(output, graph.input('target', shape), fill(graph, [2], 1));
    const trained = table.slots.filter(({ name: key }) => !model.frozen.has(key));
    const wrt = trained.map(({ name: key }) => values.get(key) as Value);
    const gradients = gradient([{ value: loss, gradient: fill(graph, [1], 1) }], wrt);
    const outputs: Record<string, Value> = { output };
    for (const value of wrt) outputs[value.name] = gradients.get(value) as Value;
    using program = compile(graph, { device, buffers: { parameters }, outputs });
    const result = await program.run({ inputs });

    const expected = channelsLast(await file.readFloat32(`${name}.output`), [2, channels, height, width]);
    expect(largestDifference(result.output as Float32Array, expected)).toBeLessThan(1e-4);
    const norms = await file.readFloat32(`${name}.gradient_norms`);
    trained.forEach(({ name: key }, i) => {
      const norm = Math.sqrt((result[key] as Float32Array).reduce((sum, g) => sum + g * g, 0));
      expect(Math.abs(norm - (norms[i] ?? 0)), key).toBeLessThan(1e-3 * (norms[i] ?? 0) + 1e-6);
    });
  });
});

function labelsOf(graph: Graph, { config }: UNet2D, inputs: Record<string, TensorData>): Value | undefined {
  if (config.classEmbedType === 'timestep') {
    inputs.labels = Float32Array.of(3, 70);
    return graph.input('labels', [2]);
  }
  if (config.classEmbedType === 'identity') {
    inputs.labels = sines(500, 2 * 32);
    return graph.input('labels', [2, 32]);
  }
  if (config.numClassEmbeds === null) return undefined;
  inputs.labels = Int32Array.of(3, 0);
  return graph.input('labels', [2], 'i32');
}
