import { createWeighting, type Diffusion, gaussianDiffusion } from '@diffuse/core';
import { buildSchedule } from '../settings/schedule-choice.ts';
import type { TrainSettings } from '../settings/train-settings.ts';

/** The noising process of a run. @throws DiffuseError `ERR_ARGUMENT` for options that the schedule or the weighting does not have. */
export function buildDiffusion(settings: TrainSettings): Diffusion {
  const { predict, weighting, weightingOptions } = settings;
  return gaussianDiffusion({
    schedule: buildSchedule(settings),
    predict,
    weighting: createWeighting(weighting, weightingOptions),
  });
}
