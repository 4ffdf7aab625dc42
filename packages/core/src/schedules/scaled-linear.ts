import { scheduleFromBetas } from './from-arrays.ts';
import { checkBetaRange, checkScheduleSteps, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link scaledLinearSchedule}. */
export interface ScaledLinearScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Variance added by the first step, in (0, betaEnd]; latent diffusion models take 0.00085. */
  betaStart?: number;
  /** Variance added by the last step, in [betaStart, 1]; latent diffusion models take 0.012. */
  betaEnd?: number;
}

/**
 * Betas whose square roots grow linearly: the schedule of latent diffusion (Rombach et al. 2022, arXiv:2112.10752),
 * diffusers' `beta_schedule: "scaled_linear"` with its defaults.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function scaledLinearSchedule({
  steps = 1000,
  betaStart = 1e-4,
  betaEnd = 0.02,
}: ScaledLinearScheduleOptions = {}): Schedule {
  checkScheduleSteps('scaled-linear', steps);
  checkBetaRange('scaled-linear', betaStart, betaEnd);
  const root = linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), steps);
  // Squaring the root of 1 may round to just above it.
  const beta = root.map((value) => Math.min(value * value, betaEnd));
  return scheduleFromBetas(beta, { name: 'scaled-linear', parameters: { betaStart, betaEnd } });
}
