import { DiffuseError } from '../native/errors.ts';
import { scheduleFromAlphaBars } from './from-arrays.ts';
import type { PureNoiseSchedule, Schedule } from './schedule.ts';

/**
 * Moves a schedule so that its last timestep is pure noise (Lin et al. 2023, algorithm 1, arXiv:2305.08891): the signal
 * r_t = sqrt(alphaBar_t) is shifted to end at 0 and scaled to begin as before,
 *
 *     r_t' = (r_t - r_{T-1}) r_0 / (r_0 - r_{T-1}),
 *
 * so that alphaBar is exactly 0 and beta exactly 1 at the last timestep. There the noise no longer determines the data:
 * predict 'v' or 'x0'. The same as `rescale_betas_zero_snr: true` of diffusers.
 *
 * @returns a schedule of the same name with the parameter `zeroTerminalSnr: 1`, by which `createSchedule` makes it again.
 * @throws DiffuseError ERR_ARGUMENT for a schedule with a single timestep, which would lose all of its signal.
 */
export function rescaleZeroTerminalSnr({ name, steps, alphaBar, parameters }: Schedule): PureNoiseSchedule {
  if (steps < 2) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `zeroTerminalSnr of schedule '${name}' needs at least 2 timesteps, got ${steps}: only noise would be left`,
    );
  }
  const signal = alphaBar.map(Math.sqrt);
  const first = signal[0] as number;
  const last = signal[steps - 1] as number;
  const rescaled = signal.map((r) => (((r - last) * first) / (first - last)) ** 2);
  const schedule = scheduleFromAlphaBars(rescaled, { name, parameters: { ...parameters, zeroTerminalSnr: 1 } });
  return { ...schedule, endsAtNoise: true };
}
