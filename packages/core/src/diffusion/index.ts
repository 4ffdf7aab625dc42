export {
  type Diffusion,
  type Floats,
  type GaussianDiffusionOptions,
  gaussianDiffusion,
  type IsotropicGaussian,
  NOISING_COLUMNS,
} from './gaussian.ts';
export { type PosteriorCoefficients, posteriorCoefficients } from './posterior.ts';
export { type Conversion, convert, score, type Target, type TargetName, targets } from './targets.ts';
export {
  createWeighting,
  minSnr,
  simple,
  type Weighting,
  type WeightingEntry,
  type WeightingName,
  weightings,
} from './weighting.ts';
