import { checkPositive } from './checks.ts';
import { scheduleFromSigmas } from './from-arrays.ts';
import { checkScheduleSteps, checkSigmaRange, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link karrasSchedule}. */
export interface KarrasScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Noise level of the first timestep, in (0, sigmaMax]. */
  sigmaMin?: number;
  /** Noise level of the last timestep, at least sigmaMin. */
  sigmaMax?: number;
  /** How much denser the levels lie near the data, in (0, 1000]; 1 is linear in sigma. */
  rho?: number;
}

/**
 * Noise levels whose rho-th root grows linearly (Karras et al. 2022, eq. (5), arXiv:2206.00364, with its defaults), from
 * the least noisy one on:
 *
 *     sigma_t = (sigmaMin^(1/rho) + t / (T - 1) (sigmaMax^(1/rho) - sigmaMin^(1/rho)))^rho
 *
 * T = 1 has sigmaMin alone.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function karrasSchedule({
  steps = 1000,
  sigmaMin = 0.002,
  sigmaMax = 80,
  rho = 7,
}: KarrasScheduleOptions = {}): Schedule {
  checkScheduleSteps('karras', steps);
  checkSigmaRange('karras', sigmaMin, sigmaMax);
  checkPositive("rho of schedule 'karras'", rho, 1000);
  const sigma = linspace(sigmaMin ** (1 / rho), sigmaMax ** (1 / rho), steps).map((root) => root ** rho);
  sigma[0] = sigmaMin;
  if (steps > 1) sigma[steps - 1] = sigmaMax;
  return scheduleFromSigmas(sigma, { name: 'karras', parameters: { sigmaMin, sigmaMax, rho } });
}
