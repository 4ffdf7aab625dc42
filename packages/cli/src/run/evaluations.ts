import { performance } from 'node:perf_hooks';
import { messageOf } from '../failure.ts';
import type { Report } from '../terminal/report.ts';
import type { MetricsLog } from './metrics-log.ts';
import { figuresText, type TrainEvaluation } from './train-evaluation.ts';

/** The evaluations of a run, each beside the training steps that follow it. */
export interface Evaluations {
  /** The step whose evaluation is under way. */
  readonly underWay: number | undefined;
  /**
   * Begins the evaluation of a step, of which it does not await the end: the device takes its programs and those of the training in
   * turn. Waits for the evaluation before, if that is not done yet, so that two never share the device with the training.
   */
  begin(step: number): Promise<void>;
  /** Waits for an evaluation that was begun before `step`: what it finds belongs before the checkpoint of that step. */
  settled(step: number): Promise<void>;
  /** Waits for the one under way. */
  finish(): Promise<void>;
  /** Gives up the one under way. */
  cancel(): Promise<void>;
}

/** What {@link runEvaluations} needs. */
export interface EvaluationsOptions {
  readonly evaluation: TrainEvaluation;
  readonly metrics: MetricsLog;
  readonly report: Report;
  /** Aborted when the run is to end: the evaluation under way is given up then. */
  readonly signal: AbortSignal;
}

/** Makes {@link Evaluations}. One that fails, for lack of memory say, is a warning and no reason to lose a run. */
export function runEvaluations({ evaluation, metrics, report, signal }: EvaluationsOptions): Evaluations {
  const own = new AbortController();
  const stop = AbortSignal.any([signal, own.signal]);
  let current: { readonly step: number; readonly done: Promise<void> } | undefined;

  const run = async (step: number): Promise<void> => {
    const write = metrics.reserve();
    const begin = performance.now();
    try {
      const figures = await evaluation.evaluate(stop);
      write({ step, evaluation: figures });
      const seconds = ((performance.now() - begin) / 1000).toFixed(1);
      report.note(`step ${step}: evaluation: ${figuresText(figures)} (after ${seconds} s)`);
      report.event('evaluation', { step, ...figures });
    } catch (error) {
      write(undefined);
      if (stop.aborted) report.note(`step ${step}: evaluation given up`);
      else report.warn(`step ${step}: no evaluation: ${messageOf(error)}`);
    }
  };
  const finish = async (): Promise<void> => {
    await current?.done;
    current = undefined;
  };
  return {
    get underWay() {
      return current?.step;
    },
    async begin(step) {
      await finish();
      if (stop.aborted) return;
      const begun = { step, done: run(step) };
      current = begun;
      void begun.done.then(() => {
        if (current === begun) current = undefined;
      });
    },
    async settled(step) {
      if (current && current.step < step) await finish();
    },
    finish,
    async cancel() {
      own.abort();
      await finish();
    },
  };
}
