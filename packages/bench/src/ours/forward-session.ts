import { performance } from 'node:perf_hooks';
import {
  compile,
  type Device,
  Graph,
  initializeModel,
  type Program,
  parameterValues,
  type UNet2D,
  type Value,
} from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import { type BenchConfig, benchModel } from '../configs.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';

/** Forward passes that are timed one by one. */
export interface ForwardSession extends Subject {
  /** Arena, scratch and weights. */
  readonly peakBytes: number;
  dispose(): void;
}

/** A network's prediction of a batch; images go in and predictions come out, as with any runtime for networks. */
export async function forwardSession(
  config: BenchConfig,
  batch: number,
  options: BenchDevice,
): Promise<ForwardSession> {
  const device = await openBenchDevice(options);
  try {
    const model = benchModel(config);
    await initializeModel(model, device);
    const program = compileForward(model, device, batch);
    const pixels = model.shape.reduce((product, size) => product * size, batch);
    const inputs = { x: new Float32Array(pixels).fill(1), t: new Float32Array(batch).fill(500) };
    return {
      pid: process.pid,
      peakBytes: program.peakBytes + device.allocatedBytes,
      async run() {
        const begin = performance.now();
        await program.run({ inputs });
        return performance.now() - begin;
      },
      dispose: () => device.dispose(),
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/** The forward pass of a network whose weights are on the device. Inputs: x [N, H, W, C], t [N]; output: prediction. */
export function compileForward(model: UNet2D, device: Device, batch: number): Program<'prediction'> {
  const { weights } = model;
  if (!weights) throw new TypeError('the model has no weights yet');
  const graph = new Graph();
  const parameters = parameterValues(graph, weights.table);
  const x = graph.input('x', [batch, ...model.shape]);
  const t = graph.input('t', [batch]);
  const prediction = model.forward({ x, t, parameter: (name) => parameters.get(name) as Value });
  return compile(graph, { device, buffers: { parameters: weights.parameters }, outputs: { prediction } });
}
