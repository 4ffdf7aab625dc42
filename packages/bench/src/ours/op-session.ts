import { performance } from 'node:perf_hooks';
import {
  compile,
  type Device,
  type DeviceBuffer,
  elementCount,
  Graph,
  type KernelName,
  type Placement,
  type Program,
  type Value,
} from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import type { OpShape } from '../peers/peer.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';
import { buildOp, isAtEnds, type Tensor } from './op-graphs.ts';

/** One op made ready to be timed. */
export interface OpSession extends Subject {
  readonly peakBytes: number;
  /** Sets how many runs the next measurements are the mean of. */
  repeat(times: number): void;
  dispose(): void;
}

/**
 * The time of a single op is that of its kernels: what it adds to a program of many. That of a block, or of all that changes the
 * weights, is the time of a whole run; in bf16, where images are made for the block alone, that of all its kernels.
 */
export async function opSession(shape: OpShape, options: BenchDevice): Promise<OpSession> {
  const device = await openBenchDevice(options);
  try {
    const graph = new Graph();
    const buffers: Record<string, DeviceBuffer> = {};
    const tensor: Tensor = (name, size) => {
      buffers[name] = device.allocate(4 * elementCount(size));
      return graph.external(name, size, name, 0);
    };
    const images = device.precision === 'fp32' ? 'f32' : 'bf16';
    const { results, kernels } = buildOp(graph, tensor, shape, images);
    for (const buffer of Object.values(buffers)) await fillWithNoise(buffer);
    const program = compile(graph, { device, buffers, placements: placeResults(device, buffers, results) });
    const counts = kernels ? (kernel: string): boolean => kernels.includes(kernel as KernelName) : isInside;
    const byKernel = kernels !== undefined || images === 'bf16';
    let repeats = 1;
    return {
      pid: process.pid,
      peakBytes: program.peakBytes + device.allocatedBytes,
      repeat(times) {
        repeats = times;
      },
      run: () => (byKernel ? timeOfKernels(program, counts, repeats) : timeOfRuns(program, repeats)),
      dispose: () => device.dispose(),
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

const isInside = (kernel: string): boolean => !isAtEnds(kernel);

/**
 * Mean time of the calls whose kernels count. The runs wait in the device's queue, so that one follows the other as the calls of a
 * program do, and as PyTorch's in its loop: a way through JavaScript between them would let the workers fall asleep.
 */
async function timeOfKernels(program: Program, counts: (kernel: string) => boolean, repeats: number): Promise<number> {
  const runs = await Promise.all(Array.from({ length: repeats }, () => program.profile()));
  return runs.flat().reduce((ms, { kernel, timeMs }) => ms + (counts(kernel) ? timeMs : 0), 0) / repeats;
}

/** Mean time of runs that follow one another. */
async function timeOfRuns(program: Program, repeats: number): Promise<number> {
  const begin = performance.now();
  await Promise.all(Array.from({ length: repeats }, () => program.run()));
  return (performance.now() - begin) / repeats;
}

function placeResults(
  device: Device,
  buffers: Record<string, DeviceBuffer>,
  results: readonly Value[],
): Map<Value, Placement> {
  return new Map(
    results.map((value, i) => {
      const buffer = `result ${i}`;
      buffers[buffer] = device.allocate(4 * elementCount(value.shape));
      return [value, { buffer, offset: 0 }];
    }),
  );
}

/** Numbers in [0, 1): zeros would be kinder to the multipliers, and the second moment of AdamW is not negative. */
async function fillWithNoise(buffer: DeviceBuffer): Promise<void> {
  const pattern = Float32Array.from({ length: 1 << 16 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 8) / 2 ** 24);
  const count = buffer.byteLength / 4;
  for (let offset = 0; offset < count; offset += pattern.length) {
    await buffer.write(offset, pattern.subarray(0, Math.min(pattern.length, count - offset)));
  }
}
