import { performance } from 'node:perf_hooks';
import type { Dataset, Device } from '@diffuse/core';
import { mnistTraining } from '../ours/mnist-training.ts';
import type { Mode } from './modes.ts';
import type { TrainedRun } from './run-store.ts';

/** A run that was kept is taken for what it says if so many of its steps come out the same again, bit for bit. */
const repeatedSteps = 20;

/** What {@link trainRun} is given. */
export interface RunOptions {
  readonly device: Device;
  readonly data: Dataset;
  readonly mode: Mode;
  readonly seed: number;
  readonly steps: number;
}

/**
 * Trains, unless the run was done before an interruption and would be the same.
 *
 * @param kept the run as it was then, if it was.
 */
export async function trainRun(
  { device, data, mode, seed, steps }: RunOptions,
  kept: TrainedRun | undefined,
): Promise<TrainedRun> {
  const expected = kept?.loss.length === steps ? kept.loss.slice(0, repeatedSteps) : [];
  const begin = performance.now();
  const training = mnistTraining(device, { data, steps, seed });
  const peakBytes = training.peakBytes + device.allocatedBytes;
  const loss: number[] = [];
  for await (const step of training) {
    loss.push(step.loss);
    if (kept && loss.length === expected.length && loss.every((value, i) => value === expected[i])) return kept;
  }
  return { mode: mode.key, seed, device: device.name, ms: performance.now() - begin, peakBytes, loss };
}
