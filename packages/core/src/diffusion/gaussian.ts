import { DiffuseError } from '../native/errors.ts';
import { checkInteger, checkNumber, lookUp } from '../schedules/checks.ts';
import { levelAt } from '../schedules/levels.ts';
import type { PureNoiseSchedule, Schedule } from '../schedules/schedule.ts';
import { posteriorCoefficients } from './posterior.ts';
import { type Conversion, convert, type Target, type TargetName, targets } from './targets.ts';
import { simple, type Weighting } from './weighting.ts';

/** Numbers of any shape, flat. Results have the kind of the first argument; the arithmetic is float64. */
export type Floats = Float32Array | Float64Array;

/** A Gaussian distribution with one variance for all elements. */
export interface IsotropicGaussian<A extends Floats> {
  /** Mean of each element. */
  readonly mean: A;
  /** Variance of every element, at least 0. */
  readonly variance: number;
  /** Natural logarithm of the variance, -Infinity for variance 0. */
  readonly logVariance: number;
}

/** Targets that say nothing of the data where only noise is left. */
type NoiseTarget = 'eps' | 'score' | 'edm';

/** What the types know to be wrong of a schedule and a target: a schedule that ends at pure noise with a target that is the noise. */
export type ScheduleMisfit<S extends Schedule, P extends TargetName | Target> = [S, P] extends [
  PureNoiseSchedule,
  NoiseTarget,
]
  ? "a schedule that ends at pure noise needs another target: predict 'v' or 'x0'"
  : unknown;

/** What {@link gaussianDiffusion} is made from. */
export interface GaussianDiffusionOptions<
  S extends Schedule = Schedule,
  P extends TargetName | Target = TargetName | Target,
> {
  /** Noise level of each timestep. */
  schedule: S & ScheduleMisfit<S, P>;
  /** What the network predicts; default 'eps'. */
  predict?: P;
  /** How much the squared error counts at each noise level. */
  weighting?: Weighting;
}

/**
 * The noising process and what a network learns of it. Timesteps t are 0-based numbers in [0, steps - 1]; a t that is no integer is
 * a noise level between two timesteps (`levelAt`), which `qStep` and `posterior` do not take. Arrays given together have the same
 * length. Every method throws DiffuseError ERR_ARGUMENT for another t, ERR_SHAPE for other lengths.
 */
export interface Diffusion {
  /** Noise level of each timestep. */
  readonly schedule: Schedule;
  /** Name of what the network predicts. */
  readonly predict: string;
  /** What the network predicts. */
  readonly prediction: Target;
  /** How much the squared error counts at each noise level. */
  readonly weighting: Weighting;
  /** Number of timesteps T. */
  readonly steps: number;
  /** Share of the data's variance that is left at t. */
  alphaBarAt(t: number): number;
  /** x_t from x_0 in one step: sqrt(alphaBar_t) x0 + sqrt(1 - alphaBar_t) eps, eps ~ N(0, I). */
  qSample<A extends Floats>(x0: A, t: number, eps: Floats): A;
  /** x_t from x_{t-1}: sqrt(1 - beta_t) xPrevious + sqrt(beta_t) eps; for t = 0, xPrevious is x_0. */
  qStep<A extends Floats>(xPrevious: A, t: number, eps: Floats): A;
  /** q(x_{t-1} | x_t, x_0); for t = 0 it is a point, x_0. */
  posterior<A extends Floats>(x0: A, xt: Floats, t: number): IsotropicGaussian<A>;
  /** x_0 from x_t and what the network predicts; throws ERR_ARGUMENT for `predict: 'eps'` where alphaBar is 0. */
  predictX0<A extends Floats>(xt: A, prediction: Floats, t: number): A;
  /** The noise from x_t and what the network predicts. */
  predictEps<A extends Floats>(xt: A, prediction: Floats, t: number): A;
  /** Factors for another quantity than the network's prediction, from x_t and the prediction. */
  convertTo(target: Target, t: number): Conversion;
  /** What x_t is multiplied with before the network sees it. */
  inputScale(t: number): number;
  /** What the network is told of the noise level. */
  told(t: number): number;
  /** What the network should predict. */
  target<A extends Floats>(x0: A, eps: Floats, t: number): A;
  /**
   * float32 [steps, 6], all that training knows of the process: a row t holds
   * `signal, noise, targetX0, targetEps, weight, told`, so that the network's input is signal x0 + noise eps and told, target =
   * targetX0 x0 + targetEps eps and loss = weight (prediction - target)^2.
   */
  noisingTable(): Float32Array;
}

/** Numbers in a row of {@link Diffusion.noisingTable}. */
export const NOISING_COLUMNS = 6;

/** a x + b y, element by element. */
function mix<A extends Floats>(a: number, x: A, b: number, y: Floats): A {
  if (x.length !== y.length) {
    throw new DiffuseError('ERR_SHAPE', `arrays must have the same length, got ${x.length} and ${y.length} elements`);
  }
  const out = x.slice();
  for (let i = 0; i < out.length; i++) out[i] = a * (x[i] as number) + b * (y[i] as number);
  return out as A;
}

/**
 * Gaussian diffusion over discrete timesteps (Ho et al. 2020, arXiv:2006.11239).
 *
 * @throws DiffuseError ERR_ARGUMENT for an unknown `predict`.
 */
export function gaussianDiffusion<S extends Schedule, P extends TargetName | Target = 'eps'>(
  options: GaussianDiffusionOptions<S, P>,
): Diffusion {
  const { schedule, predict = 'eps', weighting = simple() }: GaussianDiffusionOptions = options;
  const { steps } = schedule;
  const prediction = typeof predict === 'string' ? lookUp<Target>('prediction target', targets, predict) : predict;

  const alphaBarAt = (t: number): number => {
    if (!Number.isInteger(t)) return levelAt(schedule, checkNumber('timestep t', t, 0, steps - 1));
    return schedule.alphaBar[checkInteger('timestep t', t, 0, steps - 1)] as number;
  };
  // The level before the first timestep is clean data.
  const previousAt = (t: number): number => (t < 1 ? 1 : alphaBarAt(t - 1));
  const convertTo = (target: Target, t: number): Conversion =>
    convert(prediction, target, alphaBarAt(t), previousAt(t));
  const inputScale = (t: number): number => prediction.inputScale?.(alphaBarAt(t)) ?? 1;
  const told = (t: number): number => prediction.told?.(alphaBarAt(t)) ?? t;
  if (!Number.isFinite(told(steps - 1))) {
    const problem = `'${prediction.name}' tells the network ln(sigma), which is infinite where alphaBar is 0`;
    throw new DiffuseError('ERR_ARGUMENT', `${problem}: predict 'v' or 'x0', or take a schedule that ends above 0`);
  }

  const mixAt = <A extends Floats>(target: Target, xt: A, predicted: Floats, t: number): A => {
    const factors = convertTo(target, t);
    return mix(factors.x, xt, factors.prediction, predicted);
  };

  return {
    schedule,
    predict: prediction.name,
    prediction,
    weighting,
    steps,
    alphaBarAt,
    convertTo,
    inputScale,
    told,
    qSample(x0, t, eps) {
      const alphaBar = alphaBarAt(t);
      return mix(Math.sqrt(alphaBar), x0, Math.sqrt(1 - alphaBar), eps);
    },
    qStep(xPrevious, t, eps) {
      const beta = schedule.beta[checkInteger('timestep t', t, 0, steps - 1)] as number;
      return mix(Math.sqrt(1 - beta), xPrevious, Math.sqrt(beta), eps);
    },
    posterior(x0, xt, t) {
      checkInteger('timestep t', t, 0, steps - 1);
      const { variance, ...mean } = posteriorCoefficients(alphaBarAt(t), previousAt(t));
      return { mean: mix(mean.x0, x0, mean.xt, xt), variance, logVariance: Math.log(variance) };
    },
    predictX0: (xt, predicted, t) => mixAt(targets.x0, xt, predicted, t),
    predictEps: (xt, predicted, t) => mixAt(targets.eps, xt, predicted, t),
    target(x0, eps, t) {
      const factors = prediction.mixture(alphaBarAt(t), previousAt(t));
      return mix(factors.x0, x0, factors.eps, eps);
    },
    noisingTable() {
      const table = new Float32Array(steps * NOISING_COLUMNS);
      schedule.alphaBar.forEach((alphaBar, t) => {
        const { x0, eps } = prediction.mixture(alphaBar, previousAt(t));
        const weight = weighting.weight(alphaBar, prediction, previousAt(t));
        const scale = inputScale(t);
        const row = [scale * Math.sqrt(alphaBar), scale * Math.sqrt(1 - alphaBar), x0, eps, weight, told(t)];
        table.set(row, t * NOISING_COLUMNS);
      });
      return table;
    },
  };
}
