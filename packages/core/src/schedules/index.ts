import { checkInteger, checkOptionNames, lookUp } from './checks.ts';
import { cosineSchedule } from './cosine.ts';
import { edmSchedule } from './edm.ts';
import { karrasSchedule } from './karras.ts';
import { linearSchedule } from './linear.ts';
import { logLinearSchedule } from './log-linear.ts';
import { scaledLinearSchedule } from './scaled-linear.ts';
import type { Schedule } from './schedule.ts';
import { sigmoidSchedule } from './sigmoid.ts';
import { rescaleZeroTerminalSnr } from './zero-terminal-snr.ts';

export { type CosineScheduleOptions, cosineSchedule } from './cosine.ts';
export { type EdmScheduleOptions, edmSchedule } from './edm.ts';
export {
  type ScheduleIdentity,
  scheduleFromAlphaBars,
  scheduleFromBetas,
  scheduleFromSigmas,
} from './from-arrays.ts';
export { type KarrasScheduleOptions, karrasSchedule } from './karras.ts';
export { levelAt, sigmaAt, timestepOf } from './levels.ts';
export { type LinearScheduleOptions, linearSchedule } from './linear.ts';
export { type LogLinearScheduleOptions, logLinearSchedule } from './log-linear.ts';
export { type ScaledLinearScheduleOptions, scaledLinearSchedule } from './scaled-linear.ts';
export { alphaBarFromSigma, type PureNoiseSchedule, type Schedule, sigmaFromAlphaBar, snr } from './schedule.ts';
export { type SigmoidScheduleOptions, sigmoidSchedule } from './sigmoid.ts';
export { toVarianceExploding, toVariancePreserving } from './views.ts';
export { rescaleZeroTerminalSnr } from './zero-terminal-snr.ts';

/** One line of the registry of schedules. */
export interface ScheduleEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** Makes the schedule; `options` are `steps` and the schedule's own parameters, each with a default. */
  readonly create: (options?: Readonly<Record<string, number>>) => Schedule;
}

/** Name of a schedule in the registry. */
export type ScheduleName = 'linear' | 'cosine' | 'scaled-linear' | 'sigmoid' | 'log-linear' | 'karras' | 'edm';

/** Every schedule by the name that configurations and the command line use. */
export const schedules: Readonly<Record<ScheduleName, ScheduleEntry>> = {
  linear: { description: 'betas grow linearly (DDPM)', create: linearSchedule },
  cosine: { description: 'alphaBar follows a squared cosine (Improved DDPM)', create: cosineSchedule },
  'scaled-linear': {
    description: 'square roots of the betas grow linearly (latent diffusion)',
    create: scaledLinearSchedule,
  },
  sigmoid: { description: 'betas follow a sigmoid (GeoDiff)', create: sigmoidSchedule },
  'log-linear': { description: 'ln sigma grows linearly (smalldiffusion)', create: logLinearSchedule },
  karras: { description: 'the rho-th root of sigma grows linearly (EDM, for sampling)', create: karrasSchedule },
  edm: { description: 'quantiles of a normal law of ln sigma (EDM, for training)', create: edmSchedule },
};

/**
 * Makes a schedule by name, as a configuration file or a command line gives it.
 *
 * @param name a key of {@link schedules}.
 * @param options `steps`, the schedule's own parameters, and `zeroTerminalSnr`: 1 moves the schedule to end at pure noise
 *   ({@link rescaleZeroTerminalSnr}), 0 leaves it. `{ steps, ...parameters }` of a schedule makes it again.
 * @throws DiffuseError ERR_ARGUMENT for an unknown name, an unknown option or a value out of range.
 */
export function createSchedule(
  name: string,
  { zeroTerminalSnr = 0, ...options }: Readonly<Record<string, number>> = {},
): Schedule {
  const schedule = lookUp<ScheduleEntry>('schedule', schedules, name).create(options);
  const known = ['steps', ...Object.keys(schedule.parameters), 'zeroTerminalSnr'];
  checkOptionNames(`schedule '${name}'`, options, known);
  checkInteger(`zeroTerminalSnr of schedule '${name}'`, zeroTerminalSnr, 0, 1);
  return zeroTerminalSnr === 1 ? rescaleZeroTerminalSnr(schedule) : schedule;
}
