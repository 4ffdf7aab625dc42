import { checkNumber, checkPositive } from './checks.ts';
import { scheduleFromBetas } from './from-arrays.ts';
import { checkScheduleSteps, type Schedule } from './schedule.ts';

/** Parameters of {@link cosineSchedule}. */
export interface CosineScheduleOptions {
  /** Number of timesteps T, at least 1. */
  steps?: number;
  /** Offset that keeps the first betas from vanishing, in [0, 1]. */
  s?: number;
  /** Largest beta, in (0, 1]; below 1 the last step keeps a trace of signal. */
  maxBeta?: number;
}

/**
 * alphaBar follows a squared cosine, so that noise grows slowly at both ends (Nichol and Dhariwal 2021, eq. (17),
 * arXiv:2102.09672):
 *
 *     f(u) = cos^2((u + s) / (1 + s) * pi / 2),   beta_t = min(1 - f((t + 1) / T) / f(t / T), maxBeta)
 *
 * The defaults are those of the paper and of diffusers' `beta_schedule: "squaredcos_cap_v2"`.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function cosineSchedule({ steps = 1000, s = 0.008, maxBeta = 0.999 }: CosineScheduleOptions = {}): Schedule {
  checkScheduleSteps('cosine', steps);
  checkNumber("s of schedule 'cosine'", s, 0, 1);
  checkPositive("maxBeta of schedule 'cosine'", maxBeta, 1);
  const f = (u: number): number => Math.cos((((u + s) / (1 + s)) * Math.PI) / 2) ** 2;
  const beta = Float64Array.from({ length: steps }, (_, t) => Math.min(1 - f((t + 1) / steps) / f(t / steps), maxBeta));
  return scheduleFromBetas(beta, { name: 'cosine', parameters: { s, maxBeta } });
}
