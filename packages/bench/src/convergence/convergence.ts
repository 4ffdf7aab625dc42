import { type Mode, modes, reference } from './modes.ts';
import type { TrainedRun } from './run-store.ts';

/** How far the loss of a mode is from that of the reference. */
export interface ModeLoss {
  readonly mode: string;
  /** Mean over the seeds of the mean loss of the last steps. */
  readonly loss: number;
  /** `loss` over that of the reference, less 1. */
  readonly difference: number;
  /** The same seed by seed: the same images, noise and first weights as the reference. */
  readonly bySeed: readonly { readonly seed: number; readonly loss: number; readonly difference: number }[];
}

/** Mean loss of the last `averaged` steps. */
export function lastLoss({ loss }: TrainedRun, averaged: number): number {
  return mean(loss.slice(-averaged));
}

/** Mean of some numbers. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Compares the runs of a mode with those of the reference with the same seeds. */
export function modeLoss(mode: Mode, runs: readonly TrainedRun[], averaged: number): ModeLoss {
  const losses = new Map(runsOf(reference, runs).map((run) => [run.seed, lastLoss(run, averaged)]));
  const bySeed = runsOf(mode, runs).flatMap((run) => {
    const expected = losses.get(run.seed);
    if (expected === undefined) return [];
    const loss = lastLoss(run, averaged);
    return [{ seed: run.seed, loss, difference: loss / expected - 1, expected }];
  });
  const loss = mean(bySeed.map((run) => run.loss));
  return {
    mode: mode.name,
    loss,
    difference: loss / mean(bySeed.map(({ expected }) => expected)) - 1,
    bySeed: bySeed.map(({ expected: _, ...run }) => run),
  };
}

/** The losses of every mode. */
export function modeLosses(runs: readonly TrainedRun[], averaged: number): readonly ModeLoss[] {
  return modes.map((mode) => modeLoss(mode, runs, averaged));
}

/** The runs of a mode in the order of their seeds. */
export function runsOf({ key }: Mode, runs: readonly TrainedRun[]): readonly TrainedRun[] {
  return runs.filter(({ mode }) => mode === key).sort((a, b) => a.seed - b.seed);
}
