import { scheduleFromSigmas } from './from-arrays.ts';
import { checkScheduleSteps, checkSigmaRange, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link logLinearSchedule}. */
export interface LogLinearScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Noise level of the first timestep, in (0, sigmaMax]. */
  sigmaMin?: number;
  /** Noise level of the last timestep, at least sigmaMin. */
  sigmaMax?: number;
}

/**
 * Noise levels whose logarithm grows linearly from sigmaMin to sigmaMax: a uniform timestep draws sigma log-uniformly.
 * `ScheduleLogLinear` of smalldiffusion (Permenter and Yuan 2023, arXiv:2306.04848) with its defaults; they suit data in
 * [-1, 1] of few pixels, larger images want a larger sigmaMax. T = 1 has sigmaMin alone.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function logLinearSchedule({
  steps = 1000,
  sigmaMin = 0.02,
  sigmaMax = 10,
}: LogLinearScheduleOptions = {}): Schedule {
  checkScheduleSteps('log-linear', steps);
  checkSigmaRange('log-linear', sigmaMin, sigmaMax);
  const sigma = linspace(Math.log(sigmaMin), Math.log(sigmaMax), steps).map(Math.exp);
  sigma[0] = sigmaMin;
  if (steps > 1) sigma[steps - 1] = sigmaMax;
  return scheduleFromSigmas(sigma, { name: 'log-linear', parameters: { sigmaMin, sigmaMax } });
}
