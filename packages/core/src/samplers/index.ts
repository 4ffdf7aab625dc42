import { checkOptionNames, lookUp } from '../schedules/checks.ts';
import { ddim } from './ddim.ts';
import { type DdpmVariance, ddpm } from './ddpm.ts';
import type { Sampler } from './sampler.ts';
import type { Spacing } from './spacing.ts';

export { type DdimOptions, ddim } from './ddim.ts';
export { type DdpmOptions, type DdpmVariance, ddpm } from './ddpm.ts';
export type { Sampler, SamplerStep } from './sampler.ts';
export { type Spacing, type SpacingEntry, spacedTimesteps, spacings } from './spacing.ts';

/** The options of all samplers, as a configuration file or a command line gives them. */
export interface SamplerOptions {
  /** Number of steps, 1 … T of the diffusion. */
  steps: number;
  /** How the timesteps lie among those of the diffusion. */
  spacing?: Spacing;
  /** Share of DDPM's noise that is added, in [0, 1]. */
  eta?: number;
  /** Variance of a DDPM step. */
  variance?: DdpmVariance;
  /** Bound of the estimate of x0, above 0; Infinity does not clip. */
  clip?: number;
}

/** One line of the registry of samplers. */
export interface SamplerEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** The options that this sampler has. */
  readonly options: readonly (keyof SamplerOptions)[];
  /** Makes the sampler; options that it does not have are ignored here, {@link createSampler} refuses them. */
  readonly create: (options: SamplerOptions) => Sampler;
}

/** Name of a sampler in the registry. */
export type SamplerName = 'ddim' | 'ddpm';

/** Every sampler by the name that configurations and the command line use. */
export const samplers: Readonly<Record<SamplerName, SamplerEntry>> = {
  ddim: {
    description: 'deterministic at eta 0, good from about 20 steps (Song et al. 2021)',
    options: ['steps', 'spacing', 'eta', 'clip'],
    create: ddim,
  },
  ddpm: {
    description: 'ancestral sampling, wants many steps (Ho et al. 2020)',
    options: ['steps', 'spacing', 'variance', 'clip'],
    create: ddpm,
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
