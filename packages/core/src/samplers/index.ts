import { checkOptionNames, lookUp } from '../schedules/checks.ts';
import type { CompatOptions } from './compat.ts';
import { ddim } from './ddim.ts';
import { type DdpmVariance, ddpm } from './ddpm.ts';
import { dpmSolver, dpmSolverSde } from './dpm-solver.ts';
import { euler, eulerAncestral } from './euler.ts';
import { heun } from './heun.ts';
import { momentum } from './momentum.ts';
import type { Sampler } from './sampler.ts';
import type { SpacingName } from './spacing.ts';
import { type LambdaName, tutorialDeterministic, tutorialStochastic } from './tutorial.ts';
import { unipc } from './unipc.ts';

export { type Compat, type CompatOptions, compats, type DiffusersQuirks } from './compat.ts';
export { type DdimOptions, ddim } from './ddim.ts';
export { type DdpmOptions, type DdpmSampler, type DdpmVariance, ddpm, ddpmVariances } from './ddpm.ts';
export { type DpmSolverOptions, type DpmSolverSdeOptions, dpmSolver, dpmSolverSde } from './dpm-solver.ts';
export { type EulerAncestralOptions, type EulerOptions, euler, eulerAncestral } from './euler.ts';
export type { Autoguidance, ClassGuidance, ClassifierGuidance, Guidance } from './guidance.ts';
export { type HeunOptions, heun } from './heun.ts';
export type { ResampleOptions } from './inpaint.ts';
export { type DdimInversionOptions, ddimInversion } from './inversion.ts';
export { type MomentumOptions, momentum } from './momentum.ts';
export type { Clip, DynamicThreshold, PlanRange, Sampler, SamplerStep, StepOptions } from './sampler.ts';
export {
  karrasSigmas,
  type Spacing,
  type SpacingEntry,
  type SpacingName,
  spacedTimesteps,
  spacings,
} from './spacing.ts';
export {
  type Lambda,
  type LambdaName,
  lambdas,
  type TutorialDeterministicOptions,
  type TutorialOptions,
  tutorialDeterministic,
  tutorialStochastic,
} from './tutorial.ts';
export { type UniPcOptions, unipc } from './unipc.ts';

/** The options of all samplers, as a configuration file or a command line gives them. */
export interface SamplerOptions extends CompatOptions {
  /** Share of the fresh noise, at least 0. */
  eta?: number;
  /** Variance of a DDPM step. */
  variance?: DdpmVariance;
  /** Order of DPM-Solver++, 1 or 2. */
  order?: number;
  /** Heun's amount of fresh noise. */
  churn?: number;
  /** Between which noise levels Heun's method adds fresh noise. */
  churnMin?: number;
  churnMax?: number;
  /** Deviation of Heun's fresh noise. */
  churnNoise?: number;
  /** Weight of the present estimate of the noise against the one before. */
  gam?: number;
  /** Share of the noise that is drawn afresh, in [0, 1). */
  mu?: number;
  /** How far a step of the tutorial goes. */
  lambda?: LambdaName;
}

/** One line of the registry of samplers. */
export interface SamplerEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** The options that this sampler has. */
  readonly options: readonly (keyof SamplerOptions)[];
  /** Order of the method: an error of steps^-order; 0 for methods that add noise. */
  readonly order: number;
  /** The spacing that it is best with; what one samples with unless another is asked for. */
  readonly spacing: SpacingName;
  /** Makes the sampler; options that it does not have are ignored here, {@link createSampler} refuses them. */
  readonly create: (options: SamplerOptions) => Sampler;
}

/** Name of a sampler in the registry. */
export type SamplerName =
  | 'ddim'
  | 'ddpm'
  | 'euler'
  | 'euler-ancestral'
  | 'heun'
  | 'dpm++2m'
  | 'dpm++2m-sde'
  | 'unipc'
  | 'momentum'
  | 'tutorial-deterministic'
  | 'tutorial-stochastic';

/** Every sampler by the name that configurations and the command line use. */
export const samplers: Readonly<Record<SamplerName, SamplerEntry>> = {
  ddim: {
    description: 'deterministic at eta 0, good from about 20 steps (Song et al. 2021)',
    options: ['steps', 'spacing', 'eta', 'clip', 'compat'],
    order: 1,
    spacing: 'trailing',
    create: ddim,
  },
  ddpm: {
    description: 'ancestral sampling, wants many steps (Ho et al. 2020)',
    options: ['steps', 'spacing', 'variance', 'clip', 'compat'],
    order: 0,
    spacing: 'trailing',
    create: ddpm,
  },
  euler: {
    description: 'straight steps in sigma: ddim at eta 0 under another name',
    options: ['steps', 'spacing', 'clip', 'compat'],
    order: 1,
    spacing: 'trailing',
    create: euler,
  },
  'euler-ancestral': {
    description: 'a straight step further down, then fresh noise (k-diffusion)',
    options: ['steps', 'spacing', 'eta', 'clip', 'compat'],
    order: 0,
    spacing: 'trailing',
    create: eulerAncestral,
  },
  heun: {
    description: 'second order, two evaluations a step (Karras et al. 2022)',
    options: ['steps', 'spacing', 'clip', 'churn', 'churnMin', 'churnMax', 'churnNoise', 'compat'],
    order: 2,
    spacing: 'karras',
    create: heun,
  },
  'dpm++2m': {
    description: 'second order, good from about 10 steps (Lu et al. 2022)',
    options: ['steps', 'spacing', 'order', 'clip', 'compat'],
    order: 2,
    spacing: 'trailing',
    create: dpmSolver,
  },
  'dpm++2m-sde': {
    description: 'the same with fresh noise, eta 0 … 1 (Lu et al. 2022)',
    options: ['steps', 'spacing', 'eta', 'clip', 'compat'],
    order: 0,
    spacing: 'karras',
    create: dpmSolverSde,
  },
  unipc: {
    description: 'predictor and corrector from one evaluation a step (Zhao et al. 2023)',
    options: ['steps', 'spacing', 'clip', 'compat'],
    order: 3,
    spacing: 'trailing',
    create: unipc,
  },
  momentum: {
    description: 'gam and mu: DDIM, DDPM and accelerated sampling in one (smalldiffusion)',
    options: ['steps', 'spacing', 'gam', 'mu', 'clip'],
    order: 1,
    spacing: 'karras',
    create: momentum,
  },
  'tutorial-deterministic': {
    description: 'x + lambda (mu - x): DDIM as "Step-by-step diffusion" writes it',
    options: ['steps', 'spacing', 'clip', 'lambda'],
    order: 1,
    spacing: 'karras',
    create: tutorialDeterministic,
  },
  'tutorial-stochastic': {
    description: 'mu plus noise: DDPM as "Step-by-step diffusion" writes it',
    options: ['steps', 'spacing', 'clip'],
    order: 0,
    spacing: 'karras',
    create: tutorialStochastic,
  },
};

/**
 * Makes a sampler by name, as a configuration file or a command line gives it.
 *
 * @param name a key of {@link samplers}.
 * @throws DiffuseError ERR_ARGUMENT for an unknown name, an option that the sampler does not have or a value out of range.
 */
export function createSampler(name: string, options: SamplerOptions): Sampler {
  const entry = lookUp<SamplerEntry>('sampler', samplers, name);
  checkOptionNames(`sampler '${name}'`, options, entry.options);
  return entry.create(options);
}
