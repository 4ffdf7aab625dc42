import { scheduleFromBetas } from './from-arrays.ts';
import { checkBetaRange, checkScheduleSteps, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link sigmoidSchedule}. */
export interface SigmoidScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Variance that the betas rise from, in (0, betaEnd]. */
  betaStart?: number;
  /** Variance that the betas rise to, in [betaStart, 1]. */
  betaEnd?: number;
}

/**
 * Betas that follow a sigmoid over [-6, 6] from betaStart to betaEnd: the schedule of GeoDiff (Xu et al. 2022,
 * arXiv:2203.02923), diffusers' `beta_schedule: "sigmoid"` with its defaults.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function sigmoidSchedule({
  steps = 1000,
  betaStart = 1e-4,
  betaEnd = 0.02,
}: SigmoidScheduleOptions = {}): Schedule {
  checkScheduleSteps('sigmoid', steps);
  checkBetaRange('sigmoid', betaStart, betaEnd);
  const beta = linspace(-6, 6, steps).map((x) => (betaEnd - betaStart) / (1 + Math.exp(-x)) + betaStart);
  return scheduleFromBetas(beta, { name: 'sigmoid', parameters: { betaStart, betaEnd } });
}
