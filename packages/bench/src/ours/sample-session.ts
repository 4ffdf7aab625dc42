import { performance } from 'node:perf_hooks';
import {
  type Device,
  ddim,
  elementCount,
  gaussianDiffusion,
  initializeModel,
  linearSchedule,
  sample,
  type UNet2D,
} from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import { type BenchConfig, benchModel } from '../configs.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';
import { compileForward } from './forward-session.ts';

/** Sampling whose steps are timed. */
export interface SampleSession extends Subject {
  /** Arena, scratch, weights and images. */
  readonly peakBytes: number;
  dispose(): void;
}

/**
 * DDIM through the public API. A run samples `steps + 1` steps and reports the mean time of all but the first, which also compiles
 * the program.
 */
export async function sampleSession(
  config: BenchConfig,
  options: BenchDevice,
  { batch, steps }: { batch: number; steps: number },
): Promise<SampleSession> {
  const device = await openBenchDevice(options);
  try {
    const model = benchModel(config);
    await initializeModel(model, device);
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    return {
      pid: process.pid,
      peakBytes: forwardBytes(model, device, batch) + device.allocatedBytes + 8 * elementCount([batch, ...model.shape]),
      async run() {
        const moments: number[] = [];
        const onStep = (): void => void moments.push(performance.now());
        await sample({ model, diffusion, device, sampler: ddim({ steps: steps + 1 }), count: batch, seed: 0, onStep });
        return ((moments.at(-1) ?? 0) - (moments[0] ?? 0)) / steps;
      },
      dispose: () => device.dispose(),
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/** What the program of a forward pass takes, weights not counted. */
function forwardBytes(model: UNet2D, device: Device, batch: number): number {
  using program = compileForward(model, device, batch);
  return program.peakBytes;
}
