import {
  bitsPerDimension,
  type Dataset,
  type Estimate,
  type EvaluatedNetwork,
  lossByLevel,
  type NetworkProgress,
  odeLikelihood,
} from '@diffuse/core';
import type { LikelihoodMetric } from '../settings/evaluate-settings.ts';
import { columns } from '../terminal/format.ts';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';

/** What {@link evaluateLikelihood} computes from. */
export interface LikelihoodOptions extends EvaluatedNetwork {
  readonly data: Dataset;
  /** Images to look at. */
  readonly count: number | undefined;
  /** Noise levels to look at. */
  readonly timesteps: number | undefined;
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
  { model, diffusion, device, data, seed, batchSize, signal, ...asked }: LikelihoodOptions,
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
    return columns(await figures[metric](options, timesteps, report));
  } finally {
    progress?.end();
  }
}

type FigureOptions = EvaluatedNetwork & { readonly data: Dataset; readonly count: number };

/** Each figure: computed, told as an event, and as rows for people. */
const figures: Readonly<
  Record<LikelihoodMetric, (options: FigureOptions, timesteps: number, report: Report) => Promise<string[][]>>
> = {
  async bpd(options, timesteps, report) {
    const bound = await bitsPerDimension({ ...options, timesteps });
    report.event('bits-per-dimension', { ...bound });
    const { total, prior, diffusion, reconstruction, count } = bound;
    return [
      ['bits/dim', `at most ${text(total)}, over ${count} images`],
      ['  prior', text(prior)],
      ['  diffusion', text(diffusion)],
      ['  reconstruction', text(reconstruction)],
    ];
  },
  async ode(options, _, report) {
    const { perSample, ...likelihood } = await odeLikelihood(options);
    report.event('ode-likelihood', { ...likelihood, perSample: [...perSample] });
    const { bitsPerDimension: bits, stepError, count } = likelihood;
    return [['bits/dim, ODE', `${text(bits)}, over ${count} images; ${stepError.toPrecision(2)} by the steps`]];
  },
  async loss(options, timesteps, report) {
    const { levels, count } = await lossByLevel({ ...options, timesteps });
    report.event('loss-by-level', { count, levels });
    return [
      ['t', 'sigma', 'loss of eps', 'loss of x0', 'loss in training'],
      ...levels.map(({ t, sigma, eps, x0, prediction }) => [
        String(t),
        sigma.toPrecision(4),
        ...[eps, x0, prediction].map(({ mean }) => mean.toPrecision(4)),
      ]),
    ];
  },
};

/** A mean and how uncertain it is. */
function text({ mean, standardError }: Estimate): string {
  return Number.isFinite(standardError) ? `${mean.toFixed(4)} ± ${standardError.toPrecision(2)}` : mean.toFixed(4);
}
