import { DiffuseError } from '../native/errors.ts';
import { checkInteger, lookUp } from '../schedules/checks.ts';
import { timestepOf } from '../schedules/levels.ts';
import { linspace, type Schedule } from '../schedules/schedule.ts';

/** Name of a spacing in the registry. */
export type SpacingName = 'leading' | 'trailing' | 'linspace' | 'quadratic' | 'karras';

/** How the timesteps of a sampler lie among those of the diffusion: by name, or the timesteps themselves, descending. */
export type Spacing = SpacingName | readonly number[];

/** One line of the registry of spacings. */
export interface SpacingEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** `count` timesteps of the schedule, 0 … T - 1, ascending without repetition; 1 <= count <= T. */
  readonly pick: (schedule: Schedule, count: number) => number[];
}

/** Nearest integer, ties to the even one, as NumPy rounds. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Exponent of Karras et al. 2022, eq. (5): the larger, the more steps near the data. */
const KARRAS_RHO = 7;

/**
 * Where 'karras' begins in schedules that end in almost pure noise: of an image in [-1, 1] less than one grey level of 256 is left.
 * The cosine schedule goes on to 20,000 in its last three timesteps, and a third of the steps would be spent on them.
 */
const KARRAS_SIGMA_MAX = 200;

/**
 * Noise levels from `sigmaMin` to `sigmaMax`, ascending, evenly spaced in sigma^(1 / rho) (Karras et al. 2022, eq. (5),
 * arXiv:2206.00364).
 *
 * @param count at least 1; 1 is sigmaMax alone.
 * @returns float64 [count]
 */
export function karrasSigmas(
  sigmaMin: number,
  sigmaMax: number,
  count: number,
  rho: number = KARRAS_RHO,
): Float64Array {
  const roots = linspace(sigmaMax ** (1 / rho), sigmaMin ** (1 / rho), count);
  const sigmas = roots.map((root) => root ** rho).reverse();
  sigmas[count - 1] = sigmaMax;
  if (count > 1) sigmas[0] = sigmaMin;
  return sigmas;
}

/**
 * Every spacing by the name that configurations and the command line use. The first three are those of diffusers
 * (Lin et al. 2023, table 2, arXiv:2305.08891), quadratic is that of DDIM on CIFAR-10 (Song et al. 2021, appendix D.2,
 * arXiv:2010.02502), karras that of EDM.
 */
export const spacings: Readonly<Record<SpacingName, SpacingEntry>> = {
  leading: {
    description: 'multiples of floor(T / steps) from 0; does not start at the last timestep',
    pick: ({ steps: total }, count) => Array.from({ length: count }, (_, i) => i * Math.floor(total / count)),
  },
  trailing: {
    description: 'from the last timestep downwards, T / steps apart',
    pick: ({ steps: total }, count) => {
      // The step is rounded as NumPy's arange rounds it: ties fall where diffusers has them.
      const delta = total - (total - total / count);
      return Array.from({ length: count }, (_, i) => roundHalfEven(total - (count - 1 - i) * delta) - 1);
    },
  },
  linspace: {
    description: 'evenly from 0 to the last timestep, both included',
    pick: ({ steps: total }, count) => Array.from(linspace(0, total - 1, count), roundHalfEven),
  },
  quadratic: {
    description: 'squares of an even spacing from 0 to 0.8 T: dense near the data',
    pick: ({ steps: total }, count) => {
      const picked: number[] = [];
      for (const root of linspace(0, Math.sqrt(0.8 * total), count)) {
        // The first squares may share an integer; the next free timestep keeps the number of steps.
        picked.push(Math.max(Math.floor(root * root), (picked.at(-1) ?? -1) + 1));
      }
      return picked;
    },
  },
  karras: {
    description: 'evenly in sigma^(1/7) between the least noise and the largest, at most 200; also between timesteps',
    pick: (schedule, count) => {
      const { sigma, steps } = schedule;
      // Where the last timestep is pure noise it is taken first, and the others lie below it.
      const top = sigma[steps - 1] === Infinity ? steps - 2 : steps - 1;
      if (top < 0) return [0];
      const rest = top === steps - 1 ? count : count - 1;
      if (rest === 0) return [steps - 1];
      const [least, most] = [sigma[0] as number, sigma[top] as number];
      const sigmas = karrasSigmas(least, Math.min(most, Math.max(KARRAS_SIGMA_MAX, least)), rest);
      const picked = Array.from(sigmas, (value) => timestepOf(schedule, value));
      return top === steps - 1 ? picked : [...picked, steps - 1];
    },
  },
};

/**
 * The timesteps that a sampler visits.
 *
 * @param spacing a key of {@link spacings}, or the timesteps: `count` numbers in [0, T - 1], strictly descending.
 * @param schedule of the diffusion, with T timesteps.
 * @param count number of timesteps wanted, 1 … T.
 * @returns `count` numbers in [0, T - 1], strictly descending; integers but for 'karras' and a list of one's own.
 * @throws DiffuseError ERR_ARGUMENT for an unknown spacing, a count out of range, or a list that is no such list.
 */
export function spacedTimesteps(spacing: Spacing, schedule: Schedule, count: number): readonly number[] {
  if (typeof spacing !== 'string') return checkTimesteps(spacing, schedule.steps, count);
  const { pick } = lookUp<SpacingEntry>('spacing', spacings, spacing);
  checkInteger("a sampler's steps", count, 1, schedule.steps);
  return pick(schedule, count).reverse();
}

function checkTimesteps(timesteps: readonly number[], total: number, count: number): readonly number[] {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `the list of timesteps ${problem}`);
  };
  if (timesteps.length !== count) refuse(`has ${timesteps.length} entries for ${count} steps`);
  for (const [i, t] of timesteps.entries()) {
    if (!(t >= 0 && t <= total - 1)) refuse(`has ${t}; timesteps are numbers from 0 to ${total - 1}`);
    const before = timesteps[i - 1];
    if (before !== undefined && !(t < before)) refuse(`must fall from entry to entry; ${t} follows ${before}`);
  }
  return timesteps;
}

/** Throws unless `spacing` is a name of the registry or a list. @throws DiffuseError ERR_ARGUMENT */
export function checkSpacing(spacing: Spacing): void {
  if (typeof spacing === 'string') lookUp('spacing', spacings, spacing);
}
