import { DiffuseError } from '../native/errors.ts';
import { checkPositive } from './checks.ts';
import { alphaBarFromSigma, checkScheduleSteps, MAX_SIGMA, type Schedule, sigmaFromAlphaBar } from './schedule.ts';

/** What a schedule that is made from an array calls itself. */
export interface ScheduleIdentity {
  /** Name in the registry; 'custom' if the schedule is in none. */
  readonly name?: string;
  /** What the registry makes the schedule from, besides `steps`. */
  readonly parameters?: Readonly<Record<string, number>>;
}

/**
 * Makes a schedule from the variance that each step adds.
 *
 * @param betas [T], each in (0, 1]; copied.
 * @throws DiffuseError ERR_ARGUMENT if a beta is out of range, or so small or so large that alphaBar in float64 no longer
 *   falls from step to step.
 */
export function scheduleFromBetas(betas: ArrayLike<number>, identity: ScheduleIdentity = {}): Schedule {
  const { name = 'custom' } = identity;
  const steps = checkScheduleSteps(name, betas.length);
  const beta = Float64Array.from(betas);
  const alphaBar = new Float64Array(steps);
  let signal = 1;
  beta.forEach((value, t) => {
    signal *= 1 - checkPositive(`beta[${t}] of schedule '${name}'`, value, 1);
    alphaBar[t] = signal;
  });
  return assemble(beta, alphaBar, alphaBar.map(sigmaFromAlphaBar), identity);
}

/**
 * Makes a schedule from the share of the data's variance that is left at each timestep:
 * beta_t = 1 - alphaBar_t / alphaBar_{t-1}.
 *
 * @param alphaBars [T], strictly decreasing in [0, 1); copied.
 * @throws DiffuseError ERR_ARGUMENT if a value is out of range or not below the one before.
 */
export function scheduleFromAlphaBars(alphaBars: ArrayLike<number>, identity: ScheduleIdentity = {}): Schedule {
  const { name = 'custom' } = identity;
  const steps = checkScheduleSteps(name, alphaBars.length);
  const alphaBar = Float64Array.from(alphaBars);
  const beta = new Float64Array(steps);
  let previous = 1;
  alphaBar.forEach((value, t) => {
    if (!(value >= 0 && value < previous)) {
      refuseEntry(name, 'alphaBar', t, value, t === 0 ? 'in [0, 1)' : `at least 0 and below the ${previous} before it`);
    }
    // The difference first: it is exact where the two are close.
    beta[t] = (previous - value) / previous;
    previous = value;
  });
  return assemble(beta, alphaBar, alphaBar.map(sigmaFromAlphaBar), identity);
}

/**
 * Makes a schedule from noise levels of the variance-exploding view x0 + sigma eps: alphaBar_t = 1 / (1 + sigma_t^2), so
 * that beta_t = (sigma_t^2 - sigma_{t-1}^2) / (1 + sigma_t^2).
 *
 * @param sigmas [T], strictly increasing, above 0 and at most 1e100; the last may be Infinity, pure noise. Copied.
 * @throws DiffuseError ERR_ARGUMENT if a level is out of range, not above the one before, or so close to it that alphaBar
 *   in float64 does not fall.
 */
export function scheduleFromSigmas(sigmas: ArrayLike<number>, identity: ScheduleIdentity = {}): Schedule {
  const { name = 'custom' } = identity;
  const steps = checkScheduleSteps(name, sigmas.length);
  const sigma = Float64Array.from(sigmas);
  const beta = new Float64Array(steps);
  let previous = 0;
  sigma.forEach((value, t) => {
    if (!(value > previous && (value <= MAX_SIGMA || value === Infinity))) {
      refuseEntry(name, 'sigma', t, value, `above ${previous} and at most ${MAX_SIGMA}, or Infinity`);
    }
    beta[t] = value === Infinity ? 1 : ((value - previous) * (value + previous)) / (1 + value * value);
    previous = value;
  });
  return assemble(beta, sigma.map(alphaBarFromSigma), sigma, identity);
}

/** Puts the views together once they are known to agree; each must change from step to step in float64. */
function assemble(
  beta: Float64Array,
  alphaBar: Float64Array,
  sigma: Float64Array,
  { name = 'custom', parameters = {} }: ScheduleIdentity,
): Schedule {
  alphaBar.forEach((current, t) => {
    const previous = alphaBar[t - 1] ?? 1;
    if (current < previous && (sigma[t] as number) > (sigma[t - 1] ?? 0)) return;
    const why = previous === 0 ? 'no signal is left before it' : 'its step is too small for float64';
    throw new DiffuseError('ERR_ARGUMENT', `schedule '${name}' adds no noise at timestep ${t}: ${why}`);
  });
  return { name, steps: beta.length, beta, alphaBar, sigma, endsAtNoise: alphaBar.at(-1) === 0, parameters };
}

function refuseEntry(name: string, what: string, t: number, value: number, expected: string): never {
  throw new DiffuseError('ERR_ARGUMENT', `${what}[${t}] of schedule '${name}' must be ${expected}, got ${value}`);
}
