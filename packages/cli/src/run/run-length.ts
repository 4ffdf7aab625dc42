import { performance } from 'node:perf_hooks';
import type { Device } from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { defaultSteps, type TrainSettings } from '../settings/train-settings.ts';
import type { Report } from '../terminal/report.ts';
import { buildTask } from './task.ts';

/** Time and steps that the measurement takes at least. */
const measureMs = 2000;
const measureSteps = 4;

/** Of the time that is left, the share that the planned steps take: previews, checkpoints and a busy machine get the rest. */
const plannedShare = 0.94;

/**
 * The number of steps that the settings ask for. When only a time is given, a few steps of a model that is thrown away are
 * measured, so that the learning rate comes to its end in time.
 *
 * @param deadline when the time is over, on the clock of `performance.now`; undefined without `--minutes`.
 */
export async function runLength(
  settings: TrainSettings,
  parts: { data: ImageDataset; device: Device },
  deadline: number | undefined,
  report: Report,
  signal: AbortSignal,
): Promise<number> {
  const { steps, epochs, batchSize, accumulate } = settings;
  if (steps !== undefined) return steps;
  if (epochs !== undefined) return Math.max(1, Math.ceil((epochs * parts.data.count) / (batchSize * accumulate)));
  if (deadline === undefined) return defaultSteps;
  const stepMs = await measureStep(settings, parts, signal);
  const planned = Math.max(1, Math.floor(((deadline - performance.now()) * plannedShare) / stepMs));
  report.note(`one step takes ${stepMs.toFixed(0)} ms: ${planned} steps fit into ${settings.minutes} minutes`);
  return planned;
}

/** Median time of a step, the first half left out: caches and clocks settle in it. */
async function measureStep(
  settings: TrainSettings,
  { data, device }: { data: ImageDataset; device: Device },
  signal: AbortSignal,
): Promise<number> {
  const { model, train } = buildTask(settings, data, device);
  const training = train({ steps: Number.MAX_SAFE_INTEGER });
  const times: number[] = [];
  const begin = performance.now();
  try {
    for await (const { timeMs } of training) {
      times.push(timeMs);
      const enough = times.length > measureSteps && performance.now() - begin > measureMs;
      if (enough || signal.aborted) break;
    }
  } finally {
    model.weights?.parameters.dispose();
    model.weights?.ema?.dispose();
  }
  const settled = times.slice(Math.floor(times.length / 2)).sort((a, b) => a - b);
  return settled[Math.floor(settled.length / 2)] ?? Number.NaN;
}
