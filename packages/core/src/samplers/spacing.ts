import { checkInteger, lookUp } from '../schedules/checks.ts';
import { linspace } from '../schedules/schedule.ts';

/** How the timesteps of a sampler lie among those of the diffusion. */
export type Spacing = 'leading' | 'trailing' | 'linspace' | 'quadratic';

/** One line of the registry of spacings. */
export interface SpacingEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** `count` of the timesteps 0 … `total - 1`, ascending without repetition; 1 <= count <= total. */
  readonly pick: (total: number, count: number) => number[];
}

/** Nearest integer, ties to the even one, as NumPy rounds. */
function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/**
 * Every spacing by the name that configurations and the command line use. The first three are those of diffusers
 * (Lin et al. 2023, table 2, arXiv:2305.08891), the last one is that of DDIM on CIFAR-10 (Song et al. 2021, appendix D.2,
 * arXiv:2010.02502).
 */
export const spacings: Readonly<Record<Spacing, SpacingEntry>> = {
  leading: {
    description: 'multiples of floor(T / steps) from 0; does not start at the last timestep',
    pick: (total, count) => Array.from({ length: count }, (_, i) => i * Math.floor(total / count)),
  },
  trailing: {
    description: 'from the last timestep downwards, T / steps apart',
    pick: (total, count) => {
      // The step is rounded as NumPy's arange rounds it: ties fall where diffusers has them.
      const delta = total - (total - total / count);
      return Array.from({ length: count }, (_, i) => roundHalfEven(total - (count - 1 - i) * delta) - 1);
    },
  },
  linspace: {
    description: 'evenly from 0 to the last timestep, both included',
    pick: (total, count) => Array.from(linspace(0, total - 1, count), roundHalfEven),
  },
  quadratic: {
    description: 'squares of an even spacing from 0 to 0.8 T: dense near the data',
    pick: (total, count) => {
      const picked: number[] = [];
      for (const root of linspace(0, Math.sqrt(0.8 * total), count)) {
        // The first squares may share an integer; the next free timestep keeps the number of steps.
        picked.push(Math.max(Math.floor(root * root), (picked.at(-1) ?? -1) + 1));
      }
      return picked;
    },
  },
};

/**
 * The timesteps that a sampler visits.
 *
 * @param spacing a key of {@link spacings}.
 * @param total number of timesteps T of the diffusion.
 * @param count number of timesteps wanted, 1 … T.
 * @returns `count` integers in [0, T), strictly descending.
 * @throws DiffuseError ERR_ARGUMENT for an unknown spacing or a count out of range.
 */
export function spacedTimesteps(spacing: Spacing, total: number, count: number): readonly number[] {
  const { pick } = lookUp<SpacingEntry>('spacing', spacings, spacing);
  checkInteger("a sampler's steps", count, 1, total);
  return pick(total, count).reverse();
}
