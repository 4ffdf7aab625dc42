import {
  bitsPerDimension,
  type Dataset,
  type Estimate,
  type EvaluatedNetwork,
  type LossLevel,
  lossByLevel,
  type NetworkProgress,
  odeLikelihood,
} from '@diffuse/core';
import type { LikelihoodMetric } from '../settings/evaluate-settings.ts';
import { columns } from '../terminal/format.ts';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';
import { floorImageCount, lossFloor } from './loss-floor.ts';

/** What {@link evaluateLikelihood} computes from. */
export interface LikelihoodOptions extends EvaluatedNetwork {
  readonly data: Dataset;
  /** Images to look at. */
  readonly count: number | undefined;
  /** Noise levels to look at. */
  readonly timesteps: number | undefined;
  /** Images that the floor of the loss is computed from; 0 computes none. */
  readonly floorImages: number | undefined;
  readonly seed: number | undefined;
  readonly batchSize: number | undefined;
  readonly signal: AbortSignal;
}

/** What each figure looks at unless flags say otherwise: a few minutes for a small model on two cores. */
const defaults: Readonly<Record<LikelihoodMetric, { readonly count: number; readonly timesteps: number }>> = {
  bpd: { count: 256, timesteps: 50 },
  ode: { count: 32, timesteps: 0 },
  loss: { count: 256, timesteps: 20 },
};

const tasks: Readonly<Record<LikelihoodMetric, string>> = {
  bpd: 'bounding the likelihood',
  ode: 'following the ODE',
  loss: 'loss by noise level',
};

/** Computes one figure of the network itself, with progress; returns a table for people. */
export async function evaluateLikelihood(
  metric: LikelihoodMetric,
  { model, diffusion, device, data, floorImages, seed, batchSize, signal, ...asked }: LikelihoodOptions,
  report: Report,
): Promise<string> {
  const count = Math.min(asked.count ?? defaults[metric].count, data.count);
  const timesteps = Math.min(asked.timesteps ?? defaults[metric].timesteps, diffusion.steps);
  let progress: Progress | undefined;
  const options = {
    model,
    diffusion,
    device,
    data,
    count,
    ...(seed !== undefined && { seed }),
    ...(batchSize !== undefined && { batchSize }),
    signal,
    onProgress({ done, total }: NetworkProgress) {
      progress ??= report.progress(tasks[metric], total);
      progress.update(done);
      report.event('progress', { phase: metric, done, total });
    },
  };
  try {
    return await figures[metric](options, { timesteps, floorImages, signal }, report);
  } finally {
    progress?.end();
  }
}

type FigureOptions = EvaluatedNetwork & {
  readonly data: Dataset;
  readonly count: number;
  readonly seed?: number;
};

/** What only some figures ask for. */
interface Details {
  readonly timesteps: number;
  readonly floorImages: number | undefined;
  readonly signal: AbortSignal;
}

/** Each figure: computed, told as an event, and as text for people. */
const figures: Readonly<
  Record<LikelihoodMetric, (options: FigureOptions, details: Details, report: Report) => Promise<string>>
> = {
  async bpd(options, { timesteps }, report) {
    const bound = await bitsPerDimension({ ...options, timesteps });
    report.event('bits-per-dimension', { ...bound });
    const { total, prior, diffusion, reconstruction, count } = bound;
    return columns([
      ['bits/dim', `at most ${text(total)}, over ${count} images`],
      ['  prior', text(prior)],
      ['  diffusion', text(diffusion)],
      ['  reconstruction', text(reconstruction)],
    ]);
  },
  async ode(options, _, report) {
    const { perSample, ...likelihood } = await odeLikelihood(options);
    report.event('ode-likelihood', { ...likelihood, perSample: [...perSample] });
    const { bitsPerDimension: bits, stepError, count } = likelihood;
    return columns([
      ['bits/dim, ODE', `${text(bits)}, over ${count} images; ${stepError.toPrecision(2)} by the steps`],
    ]);
  },
  async loss(options, { timesteps, floorImages, signal }, report) {
    const images = floorImageCount(floorImages, options.data, options.count);
    const found = await lossByLevel({ ...options, timesteps });
    const floor = images > 0 ? await lossFloor(options, found, images, report, signal) : undefined;
    const levels = found.levels.map((level, k) => withGap(level, floor?.levels[k]));
    report.event('loss-by-level', { count: found.count, floorImages: images, levels });
    return lossText({ ...found, levels }, images);
  },
};

/** A level with its floor and what the loss of eps has more, where they are known. */
interface LevelWithGap extends LossLevel {
  readonly gap?: Estimate;
}

function withGap(level: LossLevel, floor: Estimate | undefined): LevelWithGap {
  if (!floor) return level;
  const standardError = Math.hypot(level.eps.standardError, floor.standardError);
  return { ...level, floor: floor.mean, gap: { mean: level.eps.mean - floor.mean, standardError } };
}

/** The levels as a table; without their floor two columns less. */
function lossText(
  { levels, count }: { readonly levels: readonly LevelWithGap[]; readonly count: number },
  floorImages: number,
): string {
  const known = floorImages > 0;
  const rows = levels.map(({ t, sigma, eps, x0, prediction, floor, gap }) => {
    const told = floor === undefined || !gap ? ['-', '-'] : [floorText(floor, eps), gapText(gap)];
    return [
      String(t),
      digits(sigma),
      digits(eps.mean),
      ...(known ? told : []),
      digits(x0.mean),
      digits(prediction.mean),
    ];
  });
  const heading = ['t', 'sigma', 'loss of eps', ...(known ? ['floor', 'gap'] : []), 'loss of x0', 'loss in training'];
  const floors = `; floor: the least loss of eps that any network could have on ${floorImages} of these images`;
  return `loss over ${count} images${known ? floors : ''}\n\n${columns([heading, ...rows])}`;
}

/** What is far below the loss is as good as nothing. */
function floorText(floor: number, { mean }: Estimate): string {
  return floor < 1e-6 * mean ? '0' : floor.toPrecision(3);
}

function gapText({ mean, standardError }: Estimate): string {
  return Number.isFinite(standardError)
    ? `${mean.toPrecision(3)} ± ${standardError.toPrecision(2)}`
    : mean.toPrecision(3);
}

function digits(value: number): string {
  return value.toPrecision(4);
}

/** A mean and how uncertain it is. */
function text({ mean, standardError }: Estimate): string {
  return Number.isFinite(standardError) ? `${mean.toFixed(4)} ± ${standardError.toPrecision(2)}` : mean.toFixed(4);
}
