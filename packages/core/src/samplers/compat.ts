import type { Diffusion } from '../diffusion/gaussian.ts';
import { DiffuseError } from '../native/errors.ts';
import { checkInteger, checkOptionNames, lookUp } from '../schedules/checks.ts';
import { timestepOf } from '../schedules/levels.ts';
import { alphaBarFromSigma, linspace, sigmaFromAlphaBar } from '../schedules/schedule.ts';
import { cleanLevel, type Level, type StepOptions } from './sampler.ts';
import { karrasSigmas, roundHalfEven, type Spacing, spacedTimesteps } from './spacing.ts';

/** Whose side a sampler takes where diffusers does something else than the formulas. */
export type Compat = 'strict' | 'diffusers';

/** The choices of {@link Compat}. */
export const compats: Readonly<Record<Compat, string>> = {
  strict: 'what the formulas say',
  diffusers: 'what diffusers does, its quirks included',
};

/**
 * What a `scheduler_config.json` of diffusers says that only its own classes do. A sampler takes it in place of `compat: 'diffusers'`,
 * which stands for the defaults.
 */
export interface DiffusersQuirks {
  /** Added to every timestep of the spacing 'leading'; default 0. */
  readonly stepsOffset?: number;
  /** Where DDIM ends: at alphaBar 1, or (false) at that of the first timestep; default true. */
  readonly setAlphaToOne?: boolean;
  /** Where the samplers in sigma end: at clean data, or at the least noise of the schedule; default 'zero'. */
  readonly finalSigma?: 'zero' | 'sigma-min';
  /** Spaces the samplers in sigma as 'karras' does between the ends of the spacing; default: where that is 'karras'. */
  readonly karras?: boolean;
  /** Whether the file's word for DDPM's variance ends in `_log`; default false. */
  readonly logVariance?: boolean;
}

/** What samplers are told that diffusers has too. */
export interface CompatOptions extends StepOptions {
  /** Whether to do what the formulas say or what diffusers does. */
  compat?: Compat | DiffusersQuirks;
}

/** Quirks with their defaults filled in. */
export type KnownQuirks = Required<DiffusersQuirks>;

const defaultQuirks: KnownQuirks = {
  stepsOffset: 0,
  setAlphaToOne: true,
  finalSigma: 'zero',
  karras: false,
  logVariance: false,
};

/**
 * The quirks to repeat, or undefined for none.
 *
 * @throws DiffuseError ERR_ARGUMENT for an unknown word, an unknown quirk or a value out of range.
 */
export function quirksOf(compat: Compat | DiffusersQuirks): KnownQuirks | undefined {
  if (typeof compat !== 'object') {
    lookUp('compat', compats, compat);
    return compat === 'strict' ? undefined : defaultQuirks;
  }
  checkOptionNames('compat', compat, Object.keys(defaultQuirks));
  const quirks: KnownQuirks = { ...defaultQuirks, ...compat };
  checkInteger('compat.stepsOffset', quirks.stepsOffset, 0, 1_000_000);
  lookUp('compat.finalSigma', { zero: true, 'sigma-min': true }, quirks.finalSigma);
  return quirks;
}

/**
 * Classes of diffusers that lay their timesteps alike: DDPM and DDIM; Euler, Euler ancestral and Heun; DPM-Solver multistep; UniPC
 * multistep.
 */
export type SchedulerFamily = 'ddpm' | 'euler' | 'dpm' | 'unipc';

/** What {@link diffusersLevels} lays out. */
export interface DiffusersGrid {
  readonly family: SchedulerFamily;
  readonly steps: number;
  readonly spacing: Spacing;
  readonly quirks: KnownQuirks;
}

/**
 * The levels of diffusers as a sampler's plan asks for them; undefined where `compat` is 'strict'.
 *
 * @throws DiffuseError ERR_ARGUMENT as {@link quirksOf}.
 */
export function diffusersGrid(
  compat: Compat | DiffusersQuirks,
  grid: Omit<DiffusersGrid, 'quirks'>,
): ((diffusion: Diffusion) => readonly Level[]) | undefined {
  const quirks = quirksOf(compat);
  return quirks && ((diffusion) => diffusersLevels(diffusion, { ...grid, quirks }));
}

/** What diffusers puts in place of an alphaBar of 0, so that sigma stays finite. */
const LEAST_ALPHA_BAR = 2 ** -24;

/**
 * The levels that a sampler of diffusers passes, the last one included. What differs from `samplerLevels`:
 *
 * - 'leading' adds `stepsOffset`;
 * - the family of Euler does not round 'linspace', and sigma between two timesteps is linear where ours is linear in its logarithm;
 * - the families of DPM-Solver divide 'leading' and 'linspace' into one step more, and leave the last timestep out;
 * - 'karras' lies between the ends of another spacing, and what DPM-Solver tells the network of it is rounded;
 * - all three end at `finalSigma`, and take 2^-24 for an alphaBar of 0.
 *
 * @throws DiffuseError ERR_ARGUMENT where diffusers would leave the schedule, repeat a timestep, or does not know the prediction.
 */
export function diffusersLevels(diffusion: Diffusion, grid: DiffusersGrid): readonly Level[] {
  const { family, quirks } = grid;
  if (!['eps', 'x0', 'v'].includes(diffusion.predict)) {
    refuse(`has no samplers for a network that predicts '${diffusion.predict}', only for 'eps', 'x0' and 'v'`);
  }
  const timesteps = timestepsOf(diffusion, grid);
  if (family === 'ddpm') return [...timesteps.map((t) => levelAt(t, diffusion.alphaBarAt(t))), cleanLevel];

  const { schedule, steps: total } = diffusion;
  const alphaBar = schedule.alphaBar.map((value) => (value === 0 ? LEAST_ALPHA_BAR : value));
  const known = { ...schedule, alphaBar, sigma: alphaBar.map(sigmaFromAlphaBar) };
  const sigmaOf = (t: number): number => {
    const below = known.sigma[Math.floor(t)] as number;
    return below + (t - Math.floor(t)) * ((known.sigma[Math.ceil(t)] as number) - below);
  };
  const end = quirks.finalSigma === 'zero' ? cleanLevel : levelAt(0, alphaBar[0] as number);
  const sigmas = timesteps.map(sigmaOf);
  if (!isKarras(grid)) return [...sigmas.map((sigma, i) => sigmaLevel(timesteps[i] as number, sigma)), end];
  // DPM-Solver takes the ends of the schedule, Euler those of its timesteps.
  const [largest, least] = family === 'euler' ? [sigmas[0], sigmas.at(-1)] : [known.sigma[total - 1], known.sigma[0]];
  const spaced = Array.from(karrasSigmas(least as number, largest as number, grid.steps)).reverse();
  return [...spaced.map((sigma) => sigmaLevel(toldAt(family, schedule.name, timestepOf(known, sigma)), sigma)), end];
}

function isKarras({ spacing, quirks }: DiffusersGrid): boolean {
  return spacing === 'karras' || quirks.karras;
}

/** What the network is told of a noise level between two timesteps. */
function toldAt(family: SchedulerFamily, scheduleName: string, t: number): number {
  if (family === 'euler') return t;
  // DPM-Solver does not round where the schedule is the cosine, but keeps integers all the same.
  return family === 'dpm' && scheduleName === 'cosine' ? Math.trunc(t) : roundHalfEven(t);
}

/** The timesteps, descending. */
function timestepsOf(diffusion: Diffusion, grid: DiffusersGrid): readonly number[] {
  const { family, steps, spacing, quirks } = grid;
  const total = diffusion.steps;
  const inSigma = family !== 'ddpm';
  const base = inSigma && spacing === 'karras' ? 'linspace' : spacing;
  checkInteger("a sampler's steps", steps, 1, total);
  // One step more, whose last timestep is left out.
  const extra = family === 'dpm' || family === 'unipc' ? 1 : 0;
  const ascending = (pick: (index: number) => number): number[] =>
    Array.from({ length: steps }, (_, i) => pick(i + extra)).reverse();
  let timesteps: readonly number[];
  if (base === 'leading') {
    const stride = Math.floor(total / (steps + extra));
    timesteps = ascending((i) => i * stride + quirks.stepsOffset);
  } else if (base === 'linspace' && inSigma) {
    const points = linspace(0, total - 1, steps + extra);
    const point = family === 'euler' ? Math.fround : roundHalfEven;
    timesteps = ascending((i) => point(points[i] as number));
  } else {
    timesteps = spacedTimesteps(base, diffusion.schedule, steps);
  }
  const [first, repeated] = [timesteps[0] as number, timesteps.findIndex((t, i) => t === timesteps[i - 1])];
  if (first > total - 1) refuse(`begins at timestep ${first}; the schedule ends at ${total - 1}: take fewer steps`);
  if (repeated >= 0) refuse(`repeats timestep ${timesteps[repeated]} at ${steps} steps of ${total}: take fewer steps`);
  return timesteps;
}

function levelAt(t: number, alphaBar: number): Level {
  const sigma = sigmaFromAlphaBar(alphaBar);
  return { t, alphaBar, signal: Math.sqrt(alphaBar), deviation: Math.sqrt(1 - alphaBar), sigma };
}

function sigmaLevel(t: number, sigma: number): Level {
  const alphaBar = alphaBarFromSigma(sigma);
  const signal = Math.sqrt(alphaBar);
  return { t, alphaBar, signal, deviation: sigma * signal, sigma };
}

function refuse(problem: string): never {
  throw new DiffuseError('ERR_ARGUMENT', `compat 'diffusers': diffusers ${problem}`);
}
