import { createSchedule, createWeighting, type Diffusion, gaussianDiffusion } from '@diffuse/core';
import type { TrainSettings } from '../settings/train-settings.ts';

/** The noising process of a run. @throws DiffuseError `ERR_ARGUMENT` for options that the schedule or the weighting does not have. */
export function buildDiffusion(settings: TrainSettings): Diffusion {
  const { schedule, scheduleOptions, timesteps, predict, weighting, weightingOptions } = settings;
  return gaussianDiffusion({
    schedule: createSchedule(schedule, { ...scheduleOptions, steps: timesteps }),
    predict,
    weighting: createWeighting(weighting, weightingOptions),
  });
}
