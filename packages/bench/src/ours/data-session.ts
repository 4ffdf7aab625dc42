import { performance } from 'node:perf_hooks';
import { compile, type Dataset, elementCount, Graph, gaussianDiffusion, linearSchedule, noising } from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';

/** Batches on their way from a data set into training. */
export interface DataSession extends Subject {
  readonly peakBytes: number;
  dispose(): void;
}

/**
 * Reads batches in an order without pattern and hands each to the device, which mirrors half of the images, scales them and adds the
 * noise: all that happens to an image before the network. A run is `batches` of them.
 */
export async function dataSession(
  data: Dataset,
  { batch, batches }: { readonly batch: number; readonly batches: number },
  options: BenchDevice,
): Promise<DataSession> {
  const device = await openBenchDevice(options);
  try {
    const graph = new Graph();
    const rows = gaussianDiffusion({ schedule: linearSchedule() }).noisingTable();
    const table = graph.external('table', [rows.length / 6, 6], 'table', 0);
    const images = graph.input('data', [batch, ...data.shape], 'u8');
    const stream = { seedLow: 1, seedHigh: 0, step: graph.scalar('step'), sampleOffset: 0 };
    const noised = noising(images, table, { ...stream, flip: true });
    const buffers: Record<string, ReturnType<typeof device.allocate>> = { table: device.allocate(4 * rows.length) };
    await buffers.table?.write(0, Float32Array.from(rows));
    // What the network would read stays on the device.
    const results = [noised.xt, noised.target, noised.timestep, noised.weight].map((value, i) => {
      buffers[`result ${i}`] = device.allocate(4 * elementCount(value.shape));
      return [value, { buffer: `result ${i}`, offset: 0 }] as const;
    });
    const program = compile(graph, { device, buffers, placements: new Map(results) });
    const target = new Uint8Array(batch * elementCount(data.shape));
    let step = 0;
    return {
      pid: process.pid,
      peakBytes: program.peakBytes + device.allocatedBytes,
      async run() {
        const begin = performance.now();
        for (let i = 0; i < batches; i++) {
          step++;
          const indices = Int32Array.from({ length: batch }, (_, j) => scattered(step * batch + j, data.count));
          await data.read(indices, target);
          await program.run({ inputs: { data: target }, scalars: { step } });
        }
        return performance.now() - begin;
      },
      dispose: () => device.dispose(),
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/** An index without pattern, the same every time. */
function scattered(position: number, count: number): number {
  return (Math.imul(position, 2654435761) >>> 0) % count;
}
