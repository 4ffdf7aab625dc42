import {
  type Compat,
  compats,
  type DdpmVariance,
  ddpmVariances,
  type LambdaName,
  lambdas,
  type SamplerName,
  type SamplerOptions,
  type SpacingName,
  samplers,
  spacings,
} from '@diffuse/core';
import { usageError } from '../failure.ts';
import {
  atLeastZero,
  integer,
  number,
  oneOf,
  oneOfNumbers,
  oneOfOrFalling,
  orInfinity,
  positive,
  type SettingTable,
  share,
  text,
} from './kinds.ts';

/** How images are drawn: by a sampler, whose options are those of the library but for what a flag cannot say, and what leads it. */
export interface DrawingSettings extends Partial<Omit<SamplerOptions, 'spacing' | 'clip' | 'compat'>> {
  sampler?: SamplerName;
  spacing?: SpacingName | readonly number[];
  clip?: number;
  compat?: Compat;
  class?: string;
  guidance?: number;
  guide?: string;
  classifier?: string;
  classifierScale?: number;
}

const sampling = 'Sampling:';
const guiding = 'Guidance:';

/** Steps of a sampler that does not need all of the diffusion's. */
export const defaultSteps = 50;

/** The flags of {@link DrawingSettings}. */
export const drawingSettings: SettingTable<DrawingSettings> = {
  sampler: {
    kind: oneOf(Object.keys(samplers) as SamplerName[]),
    description: 'way from noise to images',
    group: sampling,
    defaultText: 'ddim',
  },
  steps: {
    kind: integer(1),
    description: 'steps an image; one network evaluation each, two for heun',
    group: sampling,
    defaultText: `${defaultSteps}; every timestep for ddpm`,
  },
  spacing: {
    kind: oneOfOrFalling(Object.keys(spacings) as SpacingName[]),
    description: 'how the timesteps lie, or the timesteps themselves, such as 999,500,0',
    group: sampling,
    defaultText: "the sampler's best; with --compat diffusers the model's own",
  },
  eta: {
    kind: number('from 0 to 1', { minimum: 0, maximum: 1 }),
    description: 'share of fresh noise of ddim, euler-ancestral and dpm++2m-sde',
    group: sampling,
    defaultText: '0 for ddim, else 1',
  },
  variance: {
    kind: oneOf(Object.keys(ddpmVariances) as DdpmVariance[]),
    description: 'variance of a ddpm step',
    group: sampling,
    defaultText: "the model's own",
  },
  clip: {
    kind: orInfinity(positive()),
    description: 'bound of the estimate of the clean image; Infinity does not clip',
    group: sampling,
    defaultText: "the model's own",
  },
  order: {
    kind: oneOfNumbers([1, 2]),
    description: 'order of dpm++2m',
    group: sampling,
    defaultText: '2',
  },
  churn: {
    kind: atLeastZero(),
    description: 'fresh noise of heun over all steps, S_churn of the paper',
    group: sampling,
    defaultText: '0',
  },
  churnMin: {
    kind: atLeastZero(),
    description: 'least sigma at which heun adds it, S_tmin',
    group: sampling,
    defaultText: '0',
  },
  churnMax: {
    kind: orInfinity(atLeastZero()),
    description: 'largest sigma at which heun adds it, S_tmax',
    group: sampling,
    defaultText: 'Infinity',
  },
  churnNoise: {
    kind: positive(),
    description: 'its deviation, S_noise',
    group: sampling,
    defaultText: '1',
  },
  gam: {
    kind: positive(),
    description: 'weight of the present noise estimate of momentum against the one before',
    group: sampling,
    defaultText: '2',
  },
  mu: { kind: share(), description: 'share of noise that momentum draws afresh', group: sampling, defaultText: '0' },
  lambda: {
    kind: oneOf(Object.keys(lambdas) as LambdaName[]),
    description: 'how far tutorial-deterministic steps; wrong is what notes may say, and makes samples collapse',
    group: sampling,
    defaultText: 'right',
  },
  compat: {
    kind: oneOf(Object.keys(compats) as Compat[]),
    description: 'do what the formulas say, or what diffusers does where it differs',
    group: sampling,
    defaultText: 'strict',
  },
  class: {
    kind: text('the number or name of a class'),
    description: 'number or name of a class; several, with commas between them, take turns',
    group: sampling,
    defaultText: 'all take turns',
  },
  guidance: {
    kind: number('of any sign', {}),
    description: 'weight of the class; 1 for none. The model must have been trained with --drop-class, or see --guide',
    group: guiding,
    defaultText: '1',
  },
  guide: {
    kind: text('the folder of a run'),
    description: 'a weaker model of the same images, smaller or less trained, that --guidance leads away from',
    group: guiding,
  },
  classifier: {
    kind: text('the folder of a classifier'),
    description: 'classifier trained with --noisy that leads images to their class, with any model',
    group: guiding,
  },
  classifierScale: {
    kind: number('of any sign', {}),
    description: 'how strongly --classifier leads; 0 for none',
    group: guiding,
    defaultText: '1',
  },
};

/** The names of {@link DrawingSettings}. */
export const drawingNames: readonly (keyof DrawingSettings)[] = Object.keys(
  drawingSettings,
) as (keyof DrawingSettings)[];

/**
 * Holds the flags of guidance against each other, before anything is opened.
 *
 * @throws Failure
 */
export function checkGuidanceFlags({ guidance, guide, classifier, classifierScale }: DrawingSettings): void {
  if (classifier === undefined && classifierScale !== undefined) {
    throw usageError('--classifier-scale says how strongly --classifier leads: give --classifier too');
  }
  const other = guide !== undefined ? 'guide' : guidance !== undefined ? 'guidance' : undefined;
  if (classifier !== undefined && other !== undefined) {
    throw usageError(`--classifier and --${other} do not go together`);
  }
  if (guide !== undefined && guidance === undefined) {
    throw usageError('--guide needs --guidance, how far to go away from it: 1 is not at all, 2 is usual');
  }
}
