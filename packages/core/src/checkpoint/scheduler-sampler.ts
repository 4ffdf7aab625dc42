import {
  type Clip,
  type Compat,
  createSampler,
  type DiffusersQuirks,
  type Sampler,
  type SamplerName,
  type SamplerOptions,
} from '../samplers/index.ts';
import { type SchedulerSampler, schedulerClasses } from './scheduler-classes.ts';
import type { SchedulerDescription } from './scheduler-config.ts';

/**
 * What a scheduler's configuration says that only diffusers does: give it to a sampler as `compat` to repeat it.
 */
export function schedulerQuirks(scheduler: SchedulerDescription): DiffusersQuirks {
  return {
    stepsOffset: scheduler.stepsOffset,
    setAlphaToOne: scheduler.setAlphaToOne,
    finalSigma: scheduler.finalSigma ?? 'zero',
    karras: scheduler.karras ?? false,
    logVariance: scheduler.logVariance ?? false,
  };
}

/** Options of {@link schedulerSampler}: what a configuration does not say, or what to change of it. */
export interface SchedulerSamplerOptions extends Omit<SamplerOptions, 'compat'> {
  /** Another sampler than the configuration's, as in `OtherScheduler.from_config(scheduler.config)` of diffusers. */
  sampler?: SamplerName;
  /** 'diffusers' repeats the quirks that the configuration asks for; default 'strict'. */
  compat?: Compat;
}

/**
 * The sampler that a scheduler's configuration stands for, with its spacing, clipping and variance.
 *
 * @example
 * const { model, diffusion, scheduler } = await loadRun('runs/digits', { device });
 * const sampler = schedulerSampler(scheduler, { steps: 50, compat: 'diffusers' });
 *
 * @param scheduler as `loadRun` returns it.
 * @throws DiffuseError `ERR_ARGUMENT` for an option that the sampler does not have or a value out of range.
 */
export function schedulerSampler(
  scheduler: SchedulerDescription,
  { sampler = scheduler.sampler, compat = 'strict', ...options }: SchedulerSamplerOptions,
): Sampler {
  const { clip, variance, spacing, karras } = scheduler;
  const own = sampler === 'ddpm' ? { variance } : {};
  if (compat === 'strict') {
    return createSampler(sampler, { spacing: karras ? 'karras' : spacing, clip, ...own, ...options });
  }
  const quirks = schedulerQuirks(scheduler);
  return createSampler(sampler, {
    spacing,
    clip: clipOf(sampler, clip),
    ...own,
    ...options,
    // The levels of 'karras' lie between the ends of the configuration's spacing, and not of another one.
    compat: options.spacing === undefined ? quirks : { ...quirks, karras: false },
  });
}

/** The configuration's bound, as far as the class of diffusers that does what the sampler does looks at it. */
function clipOf(sampler: SamplerName, clip: Clip): Clip {
  const keys = schedulerClasses[sampler as SchedulerSampler]?.keys ?? {};
  return (typeof clip === 'number' ? 'clip_sample' : 'thresholding') in keys ? clip : Number.POSITIVE_INFINITY;
}
