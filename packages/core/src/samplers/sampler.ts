import type { Diffusion } from '../diffusion/gaussian.ts';
import { type Conversion, convert, type Target, targets } from '../diffusion/targets.ts';
import { checkInteger, checkNumber, checkOptionNames, checkPositive } from '../schedules/checks.ts';
import { sigmaFromAlphaBar } from '../schedules/schedule.ts';
import { checkSpacing, type Spacing, spacedTimesteps } from './spacing.ts';

/**
 * A bound of the estimate of x0 that follows it, sample by sample: dynamic thresholding (Saharia et al. 2022, section 2.3,
 * arXiv:2205.11487). With s the `quantile` of |x0|, but at least 1 and at most `max`, x0 becomes clamp(x0, -s, s) / s: pixels that
 * strong guidance has driven out of [-1, 1] are pulled inwards instead of all being cut off at the edge. For data in [-1, 1].
 */
export interface DynamicThreshold {
  /** Share of the elements that lie within s, in [0, 1]; Imagen's is 0.995. */
  readonly quantile: number;
  /** Largest s, at least 1, which is a plain bound of 1; default Infinity. */
  readonly max?: number;
}

/** Bound of the estimate of x0: a number above 0, Infinity for none, or one that follows the estimate. */
export type Clip = number | DynamicThreshold;

/**
 * One step from a sample x to x', as factors of the one update that every sampler shares:
 *
 *     x0raw    = x0FromX * x + x0FromPrediction * prediction
 *     x0       = clamp(x0raw, -clip, +clip), or x0raw under a {@link DynamicThreshold}
 *     x'       = x * [x] + x0 * [x0] + prediction * [prediction] + history * [history] + older * [older] + noise * [noise]
 *     history' = x * [historyFromX] + x0 * [historyFromX0],   older' = history
 *
 * where [name] is the field of that name, prediction is what the network makes of (inputScale x, told), history and older are 0 in
 * the first step and noise ~ N(0, I). Where the network predicts its variance too, the noise is also multiplied with the
 * predicted deviation, between exp(logVarianceLow / 2) and exp(logVarianceHigh / 2).
 */
export interface SamplerStep {
  /** The timestep of x, 0-based; between two timesteps it is no integer. */
  readonly t: number;
  /** What the network is told of it. */
  readonly told: number;
  /** What x is multiplied with before the network sees it. */
  readonly inputScale: number;
  /** alphaBar of x. */
  readonly alphaBar: number;
  /** alphaBar of x'; 1 is clean data. */
  readonly alphaBarNext: number;
  /** Factor of x in the estimate of x0. */
  readonly x0FromX: number;
  /** Factor of the prediction in the estimate of x0. */
  readonly x0FromPrediction: number;
  /** Bound of the estimate of x0. */
  readonly clip: Clip;
  /** Factor of x in x'. */
  readonly x: number;
  /** Factor of the clipped estimate of x0 in x'. */
  readonly x0: number;
  /** Factor of the prediction in x'. */
  readonly prediction: number;
  /** Factor of what the step before left as history in x'. */
  readonly history: number;
  /** Factor of what the step before found as history in x'. */
  readonly older: number;
  /** Standard deviation of the fresh noise in x', at least 0; 0 needs no noise. */
  readonly noise: number;
  /** Factors of x and x0 in what the next step finds as history. */
  readonly historyFromX: number;
  readonly historyFromX0: number;
  /** Logarithms of the variance between which a network that predicts its variance chooses; undefined: it is not asked. */
  readonly logVariance: readonly [low: number, high: number] | undefined;
}

/** What part of the way a sampler goes. */
export interface PlanRange {
  /**
   * Share of the steps that are taken, the last ones, in [0, 1]: below 1 the way begins at a lower noise level, for editing an image
   * that is given. 0 is no step at all.
   */
  readonly strength?: number;
}

/** A way from noise to data (or back): a table of coefficients, computed once in float64. */
export interface Sampler {
  /** Name in the registry. */
  readonly name: string;
  /** Number of steps; undefined takes every timestep that the diffusion has. */
  readonly steps: number | undefined;
  /** Whether it goes from data to noise. */
  readonly inverts?: boolean;
  /** Whether it asks the network for the variance of its steps; absent: it does not. */
  readonly learnedVariance?: boolean;
  /**
   * The steps in the order in which they are taken, one network evaluation each; a method of second order may have two for one of
   * its steps.
   *
   * @throws DiffuseError ERR_ARGUMENT if the diffusion has fewer timesteps than `steps`, or if its prediction does not
   *   determine x0 at one of them.
   */
  readonly plan: (diffusion: Diffusion, range?: PlanRange) => readonly SamplerStep[];
}

/** A noise level that a sampler passes. */
export interface Level {
  /** Timestep, perhaps between two; NaN for clean data, which has none. */
  readonly t: number;
  /** In [0, 1]; 1 is clean data. */
  readonly alphaBar: number;
  /** sqrt(alphaBar), the share of the data in x. */
  readonly signal: number;
  /** sqrt(1 - alphaBar), the share of the noise. */
  readonly deviation: number;
  /** deviation / signal: the noise level of x / signal = x0 + sigma eps. Infinity where only noise is left. */
  readonly sigma: number;
}

/** Clean data: where every sampler ends. */
export const cleanLevel: Level = { t: Number.NaN, alphaBar: 1, signal: 1, deviation: 0, sigma: 0 };

/** The noise level of a timestep. */
export function levelOf(diffusion: Diffusion, t: number): Level {
  const alphaBar = diffusion.alphaBarAt(t);
  return {
    t,
    alphaBar,
    signal: Math.sqrt(alphaBar),
    deviation: Math.sqrt(1 - alphaBar),
    sigma: sigmaFromAlphaBar(alphaBar),
  };
}

/** The factors that a sampler decides on; those that it leaves out are 0, and history' is x0. */
export type Update = Partial<
  Pick<
    SamplerStep,
    'x' | 'x0' | 'prediction' | 'history' | 'older' | 'noise' | 'historyFromX' | 'historyFromX0' | 'logVariance'
  >
>;

/** Where one step starts and ends. */
export interface Transition {
  readonly from: Level;
  readonly to: Level;
  /** Whether it is the last step, which ends at clean data unless {@link PlanOptions.levels} says otherwise. */
  readonly last: boolean;
  /** Where the step before started; undefined in the first step. */
  readonly before: Level | undefined;
}

/** What every sampler is told. */
export interface StepOptions {
  /** Number of steps, 1 … T of the diffusion. */
  steps: number;
  /** How the timesteps lie among those of the diffusion, or the timesteps themselves. */
  spacing?: Spacing;
  /** Bound of the estimate of x0, above 0; Infinity does not clip; or dynamic thresholding. */
  clip?: Clip;
}

/** What {@link samplerLevels} and {@link planSteps} need to know of a sampler. */
export interface PlanOptions extends Readonly<Required<StepOptions>> {
  /** The levels instead of those of `steps` and `spacing`, clean data or what else the sampler ends at included. */
  readonly levels?: ((diffusion: Diffusion) => readonly Level[]) | undefined;
}

/**
 * The levels that a sampler passes, from the noisiest down to clean data; one more than it has steps.
 *
 * @throws DiffuseError ERR_ARGUMENT for more steps than timesteps, a strength outside [0, 1] or a list that is no way down.
 */
export function samplerLevels(
  diffusion: Diffusion,
  { steps, spacing, levels }: Pick<PlanOptions, 'steps' | 'spacing' | 'levels'>,
  { strength = 1 }: PlanRange = {},
): readonly Level[] {
  checkNumber('strength', strength, 0, 1);
  const timesteps = (): readonly number[] => spacedTimesteps(spacing, diffusion.schedule, steps);
  const all = levels?.(diffusion) ?? [...timesteps().map((t) => levelOf(diffusion, t)), cleanLevel];
  return all.slice(all.length - 1 - Math.round(strength * (all.length - 1)));
}

/** A level as far as conversions look at it. */
type NoiseLevel = Pick<Level, 't' | 'alphaBar'>;

/** How a quantity follows from x and the network's prediction at a level, also at one that is not the schedule's. */
function convertAt(diffusion: Diffusion, target: Target, { t, alphaBar }: NoiseLevel): Conversion {
  if (alphaBar === diffusion.alphaBarAt(t)) return diffusion.convertTo(target, t);
  return convert(diffusion.prediction, target, alphaBar);
}

/**
 * A row of the table: fills in what the network sees and how x0 follows from what it says.
 *
 * @throws DiffuseError ERR_ARGUMENT if the prediction does not determine x0 at this level.
 */
export function samplerStep(diffusion: Diffusion, from: Level, to: Level, clip: Clip, update: Update): SamplerStep {
  const toX0 = convertAt(diffusion, targets.x0, from);
  return {
    t: from.t,
    told: diffusion.told(from.t),
    inputScale: diffusion.inputScale(from.t),
    alphaBar: from.alphaBar,
    alphaBarNext: to.alphaBar,
    x0FromX: toX0.x,
    x0FromPrediction: toX0.prediction,
    clip,
    x: 0,
    x0: 0,
    prediction: 0,
    history: 0,
    older: 0,
    noise: 0,
    historyFromX: 0,
    historyFromX0: 1,
    logVariance: undefined,
    ...update,
  };
}

/**
 * Lays out a sampler with one row a step over the timesteps of a diffusion. The end of a step is the next timestep in the list,
 * whatever the spacing.
 *
 * @throws DiffuseError ERR_ARGUMENT as {@link Sampler.plan} does.
 */
export function planSteps(
  diffusion: Diffusion,
  options: PlanOptions,
  update: (transition: Transition) => Update,
  range: PlanRange = {},
): readonly SamplerStep[] {
  const levels = samplerLevels(diffusion, options, range);
  return levels.slice(0, -1).map((from, i) => {
    const to = levels[i + 1] as Level;
    const transition = { from, to, last: i === levels.length - 2, before: levels[i - 1] };
    return samplerStep(diffusion, from, to, options.clip, update(transition));
  });
}

/** A sampler with one row a step, see {@link planSteps}. */
export function stepSampler(name: string, options: PlanOptions, update: (transition: Transition) => Update): Sampler {
  return { name, steps: options.steps, plan: (diffusion, range) => planSteps(diffusion, options, update, range) };
}

/**
 * The straight step in sigma, dx/dsigma = (x - x0) / sigma for x / signal (Karras et al. 2022, eq. (3), arXiv:2206.00364), which is
 * also the deterministic DDIM: keeps the estimates of the data and of the noise and puts them together at the level `to`.
 */
export function straightStep(from: Level, to: Level): { readonly x: number; readonly x0: number } {
  const x = to.deviation / from.deviation;
  return { x, x0: to.signal - from.signal * x };
}

/**
 * Throws unless these are options of the sampler `name`.
 *
 * @param least the fewest steps that it can take.
 * @throws DiffuseError ERR_ARGUMENT naming the option and what would be right.
 */
export function checkSampling(name: string, { steps, clip, spacing }: Required<StepOptions>, least = 1): void {
  checkInteger(`steps of sampler '${name}'`, steps, least, Number.MAX_SAFE_INTEGER);
  checkClip(name, clip);
  checkSpacing(spacing);
}

/**
 * Throws unless the estimate of x0 can be bound by `clip`.
 *
 * @throws DiffuseError ERR_ARGUMENT unless it is above 0, or a quantile in [0, 1] with a largest bound of at least 1.
 */
function checkClip(sampler: string, clip: Clip): void {
  const name = `clip of sampler '${sampler}'`;
  if (typeof clip !== 'object' || clip === null) {
    checkPositive(name, clip, Infinity);
    return;
  }
  checkOptionNames(name, clip, ['quantile', 'max']);
  checkNumber(`the quantile in ${name}`, clip.quantile, 0, 1);
  checkNumber(`max in ${name}`, clip.max ?? Infinity, 1, Infinity);
}

/** How the noise follows from x and the network's prediction at a level. */
export function noiseFactors(
  diffusion: Diffusion,
  from: NoiseLevel,
): { readonly x: number; readonly prediction: number } {
  return convertAt(diffusion, targets.eps, from);
}
