import {
  type Compat,
  createSampler,
  type DiffusersQuirks,
  type Sampler,
  type SamplerOptions,
} from '../samplers/index.ts';
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
  { compat = 'strict', ...options }: SchedulerSamplerOptions,
): Sampler {
  const { sampler, clip, variance, karras } = scheduler;
  const quirky = compat === 'diffusers';
  // Under compat the spacing says where the levels of 'karras' begin and end.
  const spacing = karras && !quirky ? 'karras' : scheduler.spacing;
  return createSampler(sampler, {
    spacing,
    clip,
    ...(sampler === 'ddpm' && { variance }),
    ...options,
    compat: quirky ? schedulerQuirks(scheduler) : compat,
  });
}
