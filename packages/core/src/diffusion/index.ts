export {
  type Diffusion,
  type Floats,
  type GaussianDiffusionOptions,
  gaussianDiffusion,
  type IsotropicGaussian,
  NOISING_COLUMNS,
  type ScheduleMisfit,
} from './gaussian.ts';
export {
  boundTable,
  estimateTable,
  type LastTerm,
  type LogVarianceRange,
  logVarianceRange,
} from './learned-variance.ts';
export {
  type ChainLogDensity,
  forwardLogDensity,
  gaussianLogDensity,
  reverseLogDensity,
  type StateLaw,
} from './log-density.ts';
export { type PosteriorCoefficients, posteriorCoefficients } from './posterior.ts';
export { type Conversion, convert, edm, type Target, type TargetName, targets } from './targets.ts';
export {
  createWeighting,
  edmWeighting,
  minSnr,
  simple,
  softMinSnr,
  vlb,
  type Weighting,
  type WeightingEntry,
  type WeightingName,
  weightings,
} from './weighting.ts';
