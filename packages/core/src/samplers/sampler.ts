import type { Diffusion } from '../diffusion/gaussian.ts';
import { convert, targets } from '../diffusion/targets.ts';
import { checkPositive } from '../schedules/checks.ts';
import { type Spacing, spacedTimesteps } from './spacing.ts';

/**
 * One step from a noisy sample x to a less noisy one x', as factors of the one update that every sampler shares:
 *
 *     x0raw = x0FromX * x + x0FromPrediction * prediction
 *     x0    = clamp(x0raw, -clip, +clip)
 *     x'    = x * [x] + x0 * [x0] + prediction * [prediction] + history * [history] + noise * [noise]
 *
 * where [name] is the field of that name, prediction is what the network makes of (x, t), history is the x0 of the step
 * before (0 in the first step) and noise ~ N(0, I).
 */
export interface SamplerStep {
  /** What the network is told: the 0-based timestep of x. */
  readonly t: number;
  /** Factor of x in the estimate of x0. */
  readonly x0FromX: number;
  /** Factor of the prediction in the estimate of x0. */
  readonly x0FromPrediction: number;
  /** Bound of the estimate of x0, above 0; Infinity does not clip. */
  readonly clip: number;
  /** Factor of x in x'. */
  readonly x: number;
  /** Factor of the clipped estimate of x0 in x'. */
  readonly x0: number;
  /** Factor of the prediction in x'. */
  readonly prediction: number;
  /** Factor of the estimate of x0 of the step before in x'. */
  readonly history: number;
  /** Standard deviation of the fresh noise in x', at least 0; 0 needs no noise. */
  readonly noise: number;
}

/** A way from noise to data: a table of coefficients, computed once in float64. */
export interface Sampler {
  /** Name in the registry. */
  readonly name: string;
  /** Number of steps, one network evaluation each; undefined takes every timestep that the diffusion has. */
  readonly steps: number | undefined;
  /**
   * The steps in the order in which they are taken, from pure noise to data.
   *
   * @throws DiffuseError ERR_ARGUMENT if the diffusion has fewer timesteps than `steps`, or if its prediction does not
   *   determine x0 at one of them.
   */
  readonly plan: (diffusion: Diffusion) => readonly SamplerStep[];
}

/** Where one step starts and ends, and what it makes of the network's answer. */
export interface Transition {
  /** 0-based timestep of x. */
  readonly t: number;
  /** alphaBar of x. */
  readonly alphaBar: number;
  /** alphaBar of x': that of the next timestep in the list, 1 (clean data) in the last step. */
  readonly alphaBarNext: number;
  /** The last step ends at clean data and adds no noise. */
  readonly last: boolean;
}

/** The factors that a sampler decides on; the others of {@link SamplerStep} follow from the diffusion. */
export type Update = Pick<SamplerStep, 'x' | 'x0' | 'prediction' | 'history' | 'noise'>;

/** What {@link planSteps} needs to know of a sampler. */
export interface PlanOptions {
  /** Number of steps, 1 … T. */
  steps: number;
  /** How the timesteps lie among those of the diffusion. */
  spacing: Spacing;
  /** Bound of the estimate of x0. */
  clip: number;
}

/**
 * Lays out the steps of a sampler over the timesteps of a diffusion: picks the timesteps, fills in how x0 follows from the
 * prediction, and asks `update` for the rest. The end of a step is the next timestep in the list, whatever the spacing.
 *
 * @throws DiffuseError ERR_ARGUMENT as {@link Sampler.plan} does.
 */
export function planSteps(
  diffusion: Diffusion,
  { steps, spacing, clip }: PlanOptions,
  update: (transition: Transition) => Update,
): readonly SamplerStep[] {
  const timesteps = spacedTimesteps(spacing, diffusion.steps, steps);
  return timesteps.map((t, i) => {
    const next = timesteps[i + 1];
    const alphaBar = diffusion.schedule.alphaBar[t] as number;
    const alphaBarNext = next === undefined ? 1 : (diffusion.schedule.alphaBar[next] as number);
    const toX0 = convert(targets[diffusion.predict], targets.x0, alphaBar);
    return {
      t,
      x0FromX: toX0.x,
      x0FromPrediction: toX0.prediction,
      clip,
      ...update({ t, alphaBar, alphaBarNext, last: next === undefined }),
    };
  });
}

/**
 * Returns `clip` if the estimate of x0 can be clipped to [-clip, clip].
 *
 * @throws DiffuseError ERR_ARGUMENT unless it is above 0; Infinity is allowed.
 */
export function checkClip(sampler: string, clip: number): number {
  return checkPositive(`clip of sampler '${sampler}'`, clip, Infinity);
}
