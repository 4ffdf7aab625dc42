import { performance } from 'node:perf_hooks';
import { adamW, type Dataset, gaussianDiffusion, linearSchedule, train } from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import { type BenchConfig, benchModel } from '../configs.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';

/** Training that goes on one step at a time. */
export interface TrainSession extends Subject {
  /** Arena, scratch, weights, gradients and moments. */
  readonly peakBytes: number;
  dispose(): Promise<void>;
}

/** More steps than anyone times. */
const endless = 1_000_000_000;

/**
 * Training through the public API: noise, forward, loss, backward, AdamW. No clipping and no average of the weights, because the
 * peer's step has neither; the noise is ours alone, the peer's is made beforehand.
 */
export async function trainSession(config: BenchConfig, options: BenchDevice): Promise<TrainSession> {
  const device = await openBenchDevice(options);
  try {
    const model = benchModel(config);
    const training = train({
      model,
      diffusion: gaussianDiffusion({ schedule: linearSchedule() }),
      data: noiseImages(model.shape, 256),
      device,
      steps: endless,
      batchSize: config.batch,
      optimizer: adamW({ learningRate: 2e-4 }),
      clipNorm: 0,
      ema: 0,
    });
    const steps = training[Symbol.asyncIterator]();
    return {
      pid: process.pid,
      peakBytes: training.peakBytes + device.allocatedBytes,
      async run() {
        const begin = performance.now();
        await steps.next();
        return performance.now() - begin;
      },
      async dispose() {
        await steps.return?.();
        training.dispose();
        device.dispose();
      },
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/** Images of arbitrary bytes: the time of a step does not depend on them. */
export function noiseImages(shape: Dataset['shape'], count: number): Dataset {
  const size = shape.reduce((product, length) => product * length, 1);
  const bytes = noiseBytes(count * size);
  return {
    shape,
    count,
    fingerprint: 'noise',
    async read(indices, target) {
      for (const [i, index] of indices.entries()) {
        target.set(bytes.subarray(index * size, (index + 1) * size), i * size);
      }
    },
  };
}

/** Bytes without pattern, the same every time. */
export function noiseBytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => Math.imul(i, 2654435761) >>> 24);
}
