import { describe, expect, test } from 'vitest';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { compile } from '../../src/graph/program.ts';
import { type VideoUNetOptions, videoUNet } from '../../src/models/video-unet.ts';
import { initializeModel, parameterValues } from '../../src/models/weights.ts';
import { openDevice } from '../../src/native/device.ts';
import { normals } from '../random/normal.ts';
import { testModelConformance } from './model-conformance.ts';

testModelConformance('videoUNet', () => videoUNet({ shape: [3, 4, 2, 1], channels: [4, 6] }));
testModelConformance('videoUNet with classes', () =>
  videoUNet({ shape: [2, 2, 2, 2], channels: [4], layers: 2, classes: 2 }),
);

describe('videoUNet', () => {
  test('at first every frame is denoised by itself: the layers along time begin at nothing', async () => {
    using device = await openDevice('cpu', { threads: 1 });
    const shape = [3, 4, 4, 1] as const;
    const model = videoUNet({ shape, channels: [4, 8] });
    const { table, parameters } = await initializeModel(model, device, { seed: 1 });
    const graph = new Graph();
    const values = parameterValues(graph, table);
    const x = graph.input('x', [1, ...shape]);
    const y = model.forward({ x, t: graph.input('t', [1]), parameter: (name) => values.get(name) as Value });
    using program = compile(graph, { device, buffers: { parameters }, outputs: { y } });
    const run = async (video: Float32Array): Promise<Float32Array> =>
      (await program.run({ inputs: { x: video, t: Float32Array.of(7) } })).y;
    const video = Float32Array.from(normals(1, 48));
    const changed = video.slice();
    changed.set(Float32Array.from(normals(2, 16)), 32); // the last frame
    const [before, after] = [await run(video), await run(changed)];
    expect(after.subarray(0, 32)).toEqual(before.subarray(0, 32));
    expect(after.subarray(32)).not.toEqual(before.subarray(32));
    for (const slot of table.slots.filter(({ startsAtZero }) => startsAtZero)) {
      const size = slot.shape.reduce((product, length) => product * length, 1);
      expect((await parameters.read(slot.offset, size)).every((value) => value === 0)).toBe(true);
    }
  });

  test.each<[Partial<VideoUNetOptions>, string]>([
    [{ shape: [2, 6, 8, 1] }, 'the height is 6; 3 levels need a multiple of 4'],
    [{ shape: [2, 8, 8] as unknown as [number, number, number, number] }, 'shape'],
    [{ shape: [0, 8, 8, 1] }, 'shape'],
    [{ channels: [3] }, 'channels'],
  ])('refuses %j: %s', (options, message) => {
    expect(() => videoUNet({ shape: [2, 8, 8, 1], channels: [4, 4, 4], ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(message) }),
    );
  });
});
