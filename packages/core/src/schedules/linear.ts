import { scheduleFromBetas } from './from-arrays.ts';
import { checkBetaRange, checkScheduleSteps, linspace, type Schedule } from './schedule.ts';

/** Parameters of {@link linearSchedule}. */
export interface LinearScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Variance added by the first step, in (0, betaEnd]. */
  betaStart?: number;
  /** Variance added by the last step, in [betaStart, 1]. */
  betaEnd?: number;
}

/**
 * Betas that grow linearly (Ho et al. 2020, section 4, arXiv:2006.11239). The defaults are those of the paper and of
 * diffusers' `beta_schedule: "linear"`.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function linearSchedule({
  steps = 1000,
  betaStart = 1e-4,
  betaEnd = 0.02,
}: LinearScheduleOptions = {}): Schedule {
  checkScheduleSteps('linear', steps);
  checkBetaRange('linear', betaStart, betaEnd);
  return scheduleFromBetas(linspace(betaStart, betaEnd, steps), { name: 'linear', parameters: { betaStart, betaEnd } });
}
