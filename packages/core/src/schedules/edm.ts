import { checkNumber, checkPositive } from './checks.ts';
import { scheduleFromSigmas } from './from-arrays.ts';
import { normalCdf, normalQuantile } from './normal-law.ts';
import { checkScheduleSteps, checkSigmaRange, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link edmSchedule}. */
export interface EdmScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Mean of ln sigma, in [-20, 20]; P_mean of the paper. */
  mean?: number;
  /** Standard deviation of ln sigma, in (0, 20]; P_std of the paper. */
  deviation?: number;
  /** Noise level of the first timestep, in (0, sigmaMax]. */
  sigmaMin?: number;
  /** Noise level of the last timestep, at least sigmaMin. */
  sigmaMax?: number;
}

/**
 * EDM's law of noise levels for training, ln sigma ~ N(mean, deviation^2) (Karras et al. 2022, table 1,
 * arXiv:2206.00364), as a schedule: its levels are the law's quantiles at evenly spaced probabilities, so that a timestep
 * drawn uniformly draws sigma from the law.
 *
 *     sigma_t = exp(mean + deviation Phi^-1(p_t)),   p_t evenly from Phi(ln sigmaMin) to Phi(ln sigmaMax), standardised
 *
 * The law is cut off at sigmaMin and sigmaMax, which are the first and the last level, so that sampling can start and end
 * there; with the defaults less than 2e-5 of its mass lies outside. EDM2 takes mean -0.4 and deviation 1. T = 1 has sigmaMin
 * alone.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range, and for bounds so far from the mean that the law has no
 *   levels between them that float64 tells apart.
 */
export function edmSchedule({
  steps = 1000,
  mean = -1.2,
  deviation = 1.2,
  sigmaMin = 0.002,
  sigmaMax = 80,
}: EdmScheduleOptions = {}): Schedule {
  checkScheduleSteps('edm', steps);
  checkNumber("mean of schedule 'edm'", mean, -20, 20);
  checkPositive("deviation of schedule 'edm'", deviation, 20);
  checkSigmaRange('edm', sigmaMin, sigmaMax);
  const probability = (sigma: number): number => normalCdf((Math.log(sigma) - mean) / deviation);
  const sigma = linspace(probability(sigmaMin), probability(sigmaMax), steps).map((p) =>
    Math.min(Math.max(Math.exp(mean + deviation * normalQuantile(p)), sigmaMin), sigmaMax),
  );
  sigma[0] = sigmaMin;
  if (steps > 1) sigma[steps - 1] = sigmaMax;
  return scheduleFromSigmas(sigma, { name: 'edm', parameters: { mean, deviation, sigmaMin, sigmaMax } });
}
