import { checkOptionNames, lookUp } from './checks.ts';
import { cosineSchedule } from './cosine.ts';
import { linearSchedule } from './linear.ts';
import { scaledLinearSchedule } from './scaled-linear.ts';
import type { Schedule } from './schedule.ts';
import { sigmoidSchedule } from './sigmoid.ts';

export { type CosineScheduleOptions, cosineSchedule } from './cosine.ts';
export { type LinearScheduleOptions, linearSchedule } from './linear.ts';
export { type ScaledLinearScheduleOptions, scaledLinearSchedule } from './scaled-linear.ts';
export { alphaBarFromSigma, type Schedule, scheduleFromBetas, sigmaFromAlphaBar, snr } from './schedule.ts';
export { type SigmoidScheduleOptions, sigmoidSchedule } from './sigmoid.ts';

/** One line of the registry of schedules. */
export interface ScheduleEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** Makes the schedule; `options` are `steps` and the schedule's own parameters, each with a default. */
  readonly create: (options?: Readonly<Record<string, number>>) => Schedule;
}

/** Name of a schedule in the registry. */
export type ScheduleName = 'linear' | 'cosine' | 'scaled-linear' | 'sigmoid';

/** Every schedule by the name that configurations and the command line use. */
export const schedules: Readonly<Record<ScheduleName, ScheduleEntry>> = {
  linear: { description: 'betas grow linearly (DDPM)', create: linearSchedule },
  cosine: { description: 'alphaBar follows a squared cosine (Improved DDPM)', create: cosineSchedule },
  'scaled-linear': {
    description: 'square roots of the betas grow linearly (latent diffusion)',
    create: scaledLinearSchedule,
  },
  sigmoid: { description: 'betas follow a sigmoid (GeoDiff)', create: sigmoidSchedule },
};

/**
 * Makes a schedule by name, as a configuration file or a command line gives it.
 *
 * @param name a key of {@link schedules}.
 * @param options `steps` and the schedule's own parameters; `{ steps, ...parameters }` of a schedule makes it again.
 * @throws DiffuseError ERR_ARGUMENT for an unknown name, an unknown option or a value out of range.
 */
export function createSchedule(name: string, options: Readonly<Record<string, number>> = {}): Schedule {
  const schedule = lookUp<ScheduleEntry>('schedule', schedules, name).create(options);
  checkOptionNames(`schedule '${name}'`, options, ['steps', ...Object.keys(schedule.parameters)]);
  return schedule;
}
