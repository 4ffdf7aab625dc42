import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { DiffuseError, loadTrainingState, openDevice, type TrainingState, type TrainProgress } from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { cancelled, Failure, messageOf, runFailure } from '../failure.ts';
import { configText } from '../settings/config-file.ts';
import type { ResolvedConfig } from '../settings/resolve.ts';
import type { TrainSettings } from '../settings/train-settings.ts';
import { bytes, grouped } from '../terminal/format.ts';
import type { Report } from '../terminal/report.ts';
import { type MetricsLog, openMetricsLog } from './metrics-log.ts';
import { openData } from './open-data.ts';
import type { RunFolder } from './run-folder.ts';
import { runLength } from './run-length.ts';
import { buildTask, checkTask, type Task } from './task.ts';
import { writeDurably } from './write-durably.ts';

/** What {@link runTraining} is given. */
export interface TrainingRunOptions {
  readonly config: ResolvedConfig;
  readonly folder: RunFolder;
  /** Go on from the folder's checkpoint. */
  readonly resume: boolean;
  readonly report: Report;
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal: AbortSignal;
}

/** Everything that a step of the run touches. */
interface Run extends TrainingRunOptions {
  readonly settings: TrainSettings;
  readonly data: ImageDataset;
  readonly task: Task;
  readonly state: TrainingState;
  readonly metrics: MetricsLog;
  readonly steps: number;
  readonly deadline: number | undefined;
}

/**
 * A training run from data to its last checkpoint.
 *
 * @throws Failure with code 130 when stopped by `signal` (after a durable checkpoint) and with code 1 when training fails; errors
 * of what the user gave pass on as they are.
 */
export async function runTraining(options: TrainingRunOptions): Promise<void> {
  const { config, folder, resume, report, signal } = options;
  const { settings } = config;
  checkTask(settings);
  using device = await openDevice(settings.device, settings.threads === undefined ? {} : { threads: settings.threads });
  using data = await openData(settings, report, signal);
  const task = buildTask(settings, data, device);
  const deadline = settings.minutes === undefined ? undefined : performance.now() + settings.minutes * 60_000;
  const steps = await runLength(settings, { data, device }, deadline, report, signal);
  if (signal.aborted) throw cancelled('stopped before the first step');

  const { fingerprint } = data;
  const { seed, ema } = settings;
  const restored = resume
    ? await loadTrainingState(folder.path, { device, model: task.model, ema: ema > 0, fingerprint, seed })
    : undefined;
  const training = task.train({ steps, resume: restored });
  const { state } = training;
  report.note(
    `model: ${grouped(state.weights.table.count)} parameters on ${device.name}, ${device.threads} threads; ` +
      `a step takes ${bytes(training.peakBytes + device.allocatedBytes)}`,
  );
  await writeDurably(folder.config, configText(portable(config, steps)));
  const metrics = await openMetricsLog(folder.metrics, state.step);
  const run: Run = { ...options, settings, data, task, state, metrics, steps, deadline };
  report.event('begin', { step: state.step, steps, parameters: state.weights.table.count, device: device.name });
  try {
    if (state.step >= steps) await finishedAlready(run);
    else await followTraining(run, training);
  } finally {
    training.dispose();
    await metrics.close();
  }
}

/** The steps, each with what follows it. The state is alive only inside the loop, so the last checkpoint is made there. */
async function followTraining(run: Run, training: AsyncIterable<TrainProgress>): Promise<void> {
  const { report, steps, metrics, state, signal } = run;
  const progress = report.progress('step', steps);
  const smooth = smoothed();
  const remaining = steps - state.step;
  try {
    for await (const step of training) {
      metrics.add(step);
      const { outputs, ...measured } = step;
      report.event('step', { ...measured, ...outputs });
      progress.update(step.step, {
        ...smooth({ loss: step.loss, ...outputs }),
        'images/s': grouped(step.imagesPerSecond),
      });
      if (await afterStep(run, step.step)) break;
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw runFailure(error instanceof DiffuseError ? withAdvice(error, run) : error);
  } finally {
    progress.end();
  }
  if (signal.aborted && state.step < steps) {
    throw cancelled(
      `stopped at step ${state.step} of ${steps}; go on with: diffuse train --resume --out ${run.folder.path}`,
    );
  }
  const early = state.step < steps ? ` of ${steps}, the time is over` : '';
  report.note(`trained ${grouped(remaining - (steps - state.step))} steps to step ${state.step}${early}`);
  report.event('done', { step: state.step, steps, folder: run.folder.path });
  report.result(run.folder.path);
}

/** Preview and checkpoint where they are due; the preview first, so that no checkpoint is ahead of it. Returns whether to end. */
async function afterStep(run: Run, step: number): Promise<boolean> {
  const { settings, task, steps, deadline, signal } = run;
  const { previewEvery, checkpointEvery } = settings;
  if (previewEvery > 0 && step % previewEvery === 0 && !signal.aborted && task.preview) await preview(run, step);
  const ends = step >= steps || signal.aborted || (deadline !== undefined && performance.now() >= deadline);
  if (ends || (checkpointEvery > 0 && step % checkpointEvery === 0)) await checkpoint(run);
  return ends;
}

/** A picture that cannot be made, for lack of memory say, is no reason to lose a run. */
async function preview(run: Run, step: number): Promise<void> {
  const { report, folder, signal, task } = run;
  try {
    const path = await task.preview?.(folder.previews, step, signal);
    report.note(`step ${step}: preview ${path}`);
    report.event('preview', { step, path });
  } catch (error) {
    if (!signal.aborted) report.warn(`step ${step}: no preview: ${messageOf(error)}`);
  }
}

/** Metrics, then state and weights: a checkpoint that exists has all its metrics. */
async function checkpoint({ folder, task, state, data, settings, metrics, report }: Run): Promise<void> {
  await metrics.flush();
  await task.save(folder.path, { state, fingerprint: data.fingerprint, seed: settings.seed });
  report.note(`step ${state.step}: checkpoint ${folder.path}`);
  report.event('checkpoint', { step: state.step, folder: folder.path });
}

/** Nothing to train. The weights are written again: the process may have been killed after the state and before them. */
async function finishedAlready(run: Run): Promise<void> {
  const { state, steps, report, folder } = run;
  await checkpoint(run);
  report.note(`the run is at step ${state.step} of ${steps} already; --steps says how far it shall go`);
  report.event('done', { step: state.step, steps, folder: folder.path });
  report.result(folder.path);
}

/** The configuration as it is written: lengths as steps, paths that hold from everywhere. */
function portable({ preset, settings }: ResolvedConfig, steps: number): ResolvedConfig {
  const { data, labels, cacheDir, epochs: _, ...rest } = settings;
  const absolute = {
    ...(data !== undefined && { data: resolve(data) }),
    ...(labels !== undefined && { labels: resolve(labels) }),
    ...(cacheDir !== undefined && { cacheDir: resolve(cacheDir) }),
  };
  return { ...(preset !== undefined && { preset }), settings: { ...absolute, ...rest, steps } };
}

function withAdvice(error: DiffuseError, { folder, settings }: Run): Error {
  if (error.code !== 'ERR_NON_FINITE') return error;
  return new Error(
    `${error.message}. The last checkpoint in ${folder.path} is as it was; ` +
      `a new run with a lower --lr than ${settings.lr} or a longer --warmup may hold`,
    { cause: error },
  );
}

/** Means of about the last 50 steps, without the pull of a first guess (Kingma and Ba 2015, section 3). */
function smoothed(): (figures: Readonly<Record<string, number>>) => Record<string, string> {
  const decay = 0.98;
  const sums: Record<string, number> = {};
  let weight = 0;
  return (figures) => {
    weight = decay * weight + (1 - decay);
    for (const [name, value] of Object.entries(figures)) sums[name] = decay * (sums[name] ?? 0) + (1 - decay) * value;
    return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, (sum / weight).toFixed(4)]));
  };
}
