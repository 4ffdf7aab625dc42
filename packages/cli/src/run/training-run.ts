import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Device, DiffuseError, loadTrainingState, type TrainingState, type TrainProgress } from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { cancelled, Failure, messageOf, runFailure } from '../failure.ts';
import { configText } from '../settings/config-file.ts';
import type { ResolvedConfig } from '../settings/resolve.ts';
import type { TrainSettings } from '../settings/train-settings.ts';
import { bytes, deviceText, formatText, grouped } from '../terminal/format.ts';
import type { Report } from '../terminal/report.ts';
import { type Evaluations, runEvaluations } from './evaluations.ts';
import { type MetricsLog, openMetricsLog } from './metrics-log.ts';
import { openData } from './open-data.ts';
import { openChosenDevice } from './open-device.ts';
import type { RunFolder } from './run-folder.ts';
import { runLength } from './run-length.ts';
import { buildTask, checkTask, type Task } from './task.ts';
import { openTrainEvaluation, type TrainEvaluation } from './train-evaluation.ts';
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
  readonly device: Device;
  readonly data: ImageDataset;
  readonly task: Task;
  readonly state: TrainingState;
  readonly metrics: MetricsLog;
  /** Undefined where none are asked for. */
  readonly evaluations: Evaluations | undefined;
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
  const { report, signal } = options;
  const { settings } = options.config;
  checkTask(settings);
  using device = await openChosenDevice(settings, report);
  using data = await openData(settings, report, signal);
  const task = buildTask(settings, data, device);
  const evaluation = await openTrainEvaluation(settings, { judged: task.judged, data, device }, report, signal);
  try {
    await trainTask(options, { device, data, task, evaluation });
  } finally {
    await evaluation?.close();
  }
}

/** What is open while a run goes on. */
interface OpenParts {
  readonly device: Device;
  readonly data: ImageDataset;
  readonly task: Task;
  readonly evaluation: TrainEvaluation | undefined;
}

/** The run when all that it needs is open. */
async function trainTask(options: TrainingRunOptions, { device, data, task, evaluation }: OpenParts): Promise<void> {
  const { config, folder, resume, report, signal } = options;
  const { settings } = config;
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
    `model: ${grouped(state.weights.table.count)} parameters on ${deviceText(device)}, ${formatText(device)}; ` +
      `a step takes ${bytes(training.peakBytes + device.allocatedBytes)}`,
  );
  await writeDurably(folder.config, configText(portable(config, steps)));
  const metrics = await openMetricsLog(folder.metrics, state.step);
  const evaluations = evaluation && runEvaluations({ evaluation, metrics, report, signal });
  const run: Run = { ...options, settings, device, data, task, state, metrics, evaluations, steps, deadline };
  report.event('begin', {
    step: state.step,
    steps,
    parameters: state.weights.table.count,
    device: device.name,
    precision: device.precision,
    tf32: device.tf32,
  });
  try {
    if (state.step >= steps) await finishedAlready(run);
    else await followTraining(run, training);
  } finally {
    training.dispose();
    await evaluations?.cancel();
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
    // As after any other step, unless a process before this one came so far.
    if (state.step > 0 && !metrics.evaluated) await evaluate(run, state.step);
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
    await finishEvaluation(run);
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

/**
 * Preview, checkpoint and evaluation where they are due: the preview first, so that no checkpoint is ahead of it, the evaluation last, so
 * that none shares the device with the writing of a checkpoint. Returns whether to end.
 */
async function afterStep(run: Run, step: number): Promise<boolean> {
  const { settings, task, steps, deadline, signal } = run;
  const { previewEvery, checkpointEvery } = settings;
  if (previewEvery > 0 && step % previewEvery === 0 && !signal.aborted && task.preview) await preview(run, step);
  const ends = step >= steps || signal.aborted || (deadline !== undefined && performance.now() >= deadline);
  if (ends || (checkpointEvery > 0 && step % checkpointEvery === 0)) await checkpoint(run);
  await evaluate(run, step);
  return ends;
}

/** Begins an evaluation if one is due; the steps go on beside it. */
async function evaluate({ evaluations, settings, signal }: Run, step: number): Promise<void> {
  const { evalEvery } = settings;
  if (evaluations && step % evalEvery === 0 && !signal.aborted) await evaluations.begin(step);
}

/** Waits for the evaluation under way, and makes what it found durable. */
async function finishEvaluation({ evaluations, metrics, report }: Run): Promise<void> {
  if (evaluations?.underWay === undefined) return;
  report.note(`waiting for the evaluation of step ${evaluations.underWay}`);
  await evaluations.finish();
  await metrics.flush();
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
async function checkpoint(run: Run): Promise<void> {
  const { folder, task, state, data, settings, metrics, evaluations, report } = run;
  await evaluations?.settled(state.step);
  await metrics.flush();
  await task.save(folder.path, { state, fingerprint: data.fingerprint, seed: settings.seed });
  report.note(`step ${state.step}: checkpoint ${folder.path}`);
  report.event('checkpoint', { step: state.step, folder: folder.path });
}

/** Nothing to train. What follows the last state is written again: the process may have been killed between the two. */
async function finishedAlready(run: Run): Promise<void> {
  const { state, steps, report, folder, metrics } = run;
  await checkpoint(run);
  if (!metrics.evaluated) await evaluate(run, state.step);
  await finishEvaluation(run);
  report.note(`the run is at step ${state.step} of ${steps} already; --steps says how far it shall go`);
  report.event('done', { step: state.step, steps, folder: folder.path });
  report.result(folder.path);
}

/** The settings that are paths. */
const paths = ['data', 'labels', 'cacheDir', 'evalData', 'evalLabels', 'evalFeatures'] as const;

/** The configuration as it is written: lengths as steps, paths that hold from everywhere. */
function portable({ preset, settings }: ResolvedConfig, steps: number): ResolvedConfig {
  const { epochs: _, ...written } = settings;
  for (const name of paths) {
    const path = written[name];
    if (path !== undefined) written[name] = resolve(path);
  }
  return { ...(preset !== undefined && { preset }), settings: { ...written, steps } };
}

function withAdvice(error: DiffuseError, { folder, settings, device }: Run): Error {
  if (error.code === 'ERR_DEVICE') {
    return new Error(
      `${device.name}: ${error.message}. diffuse doctor --check tells whether its kernels are sound; ` +
        `diffuse train --resume --out ${folder.path} goes on from the last checkpoint`,
      { cause: error },
    );
  }
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
