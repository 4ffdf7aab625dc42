import type { Network } from '../models/model.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Batch } from './batches.ts';
import { createLossHistory, drawTimesteps, recordLosses, timestepLaw } from './loss-aware.ts';
import type { Objective } from './objective.ts';
import type { TrainingState } from './training-state.ts';

/**
 * Gives a state the history of losses that the objective draws timesteps by.
 *
 * @throws `ERR_ARGUMENT` when the state is of a run that drew them otherwise: resuming would not be the same run.
 */
export function prepareHistory(state: TrainingState, { lossAware }: Objective<Network>): void {
  if (state.step === 0 && lossAware) state.lossHistory ??= createLossHistory(lossAware.timesteps);
  const [kept, wanted] = [state.lossHistory?.timesteps, lossAware?.timesteps];
  if (kept === wanted) return;
  const words = (timesteps: number | undefined): string =>
    timesteps === undefined ? 'without a history of losses' : `with the losses of ${timesteps} timesteps`;
  throw new DiffuseError(
    'ERR_ARGUMENT',
    `the training to go on from is one ${words(kept)}, this one is ${words(wanted)}: keep its timestepSampling and its timesteps`,
  );
}

/** The batches of a step with the timesteps that the losses so far suggest, where training draws them. */
export function withTimesteps(
  batches: readonly Batch[],
  { step, lossHistory }: TrainingState,
  { seed, batchSize: count }: { readonly seed: number; readonly batchSize: number },
): readonly Batch[] {
  if (!lossHistory) return batches;
  const law = timestepLaw(lossHistory);
  const { timesteps } = lossHistory;
  return batches.map((batch, micro) => {
    const drawn = drawTimesteps(law, { timesteps, seed, step, sampleOffset: micro * count, count });
    return { ...batch, drawn };
  });
}

/** What a step that has happened teaches of the timesteps. */
export function learnLosses(
  { lossHistory }: TrainingState,
  batches: readonly Batch[],
  perSample: readonly Float32Array[],
): void {
  for (const [i, { drawn }] of batches.entries()) {
    if (lossHistory && drawn) recordLosses(lossHistory, drawn.level, perSample[i] as Float32Array);
  }
}
