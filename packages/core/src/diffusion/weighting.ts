import { checkOptionNames, checkPositive, lookUp } from '../schedules/checks.ts';
import { snr } from '../schedules/schedule.ts';
import { convert, type Target, targets } from './targets.ts';

/** How much the squared error of a prediction counts at each noise level. */
export interface Weighting {
  /** Name in the registry. */
  readonly name: string;
  /** What the weighting was made from; enough to make it again. */
  readonly parameters: Readonly<Record<string, number>>;
  /** The weight, at least 0, of the squared error of `target` at the noise level `alphaBar` in [0, 1). */
  readonly weight: (alphaBar: number, target: Target) => number;
}

/** Every error counts the same: L_simple (Ho et al. 2020, eq. (14), arXiv:2006.11239), on whatever is predicted. */
export function simple(): Weighting {
  return { name: 'simple', parameters: {}, weight: () => 1 };
}

/**
 * Min-SNR-gamma (Hang et al. 2023, arXiv:2303.09556): the squared error of x0 is weighted by min(SNR, gamma), which is
 *
 *     min(SNR, gamma) / SNR for eps,   min(SNR, gamma) for x0,   min(SNR, gamma) / (SNR + 1) for v.
 *
 * @param gamma the signal-to-noise ratio from which on weights stop growing, above 0.
 * @throws DiffuseError ERR_ARGUMENT for another gamma.
 */
export function minSnr(gamma = 5): Weighting {
  checkPositive("gamma of weighting 'min-snr'", gamma, Infinity);
  return {
    name: 'min-snr',
    parameters: { gamma },
    weight(alphaBar, target) {
      // An error of the prediction is an error of x0 scaled by this factor, so the same rule serves every target.
      const { prediction } = convert(target, targets.x0, alphaBar);
      return Math.min(snr(alphaBar), gamma) * prediction ** 2;
    },
  };
}

/** One line of the registry of weightings. */
export interface WeightingEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** Makes the weighting; each of its own parameters has a default. */
  readonly create: (options?: Readonly<Record<string, number>>) => Weighting;
}

/** Name of a weighting in the registry. */
export type WeightingName = 'simple' | 'min-snr';

/** Every weighting by the name that configurations and the command line use. */
export const weightings: Readonly<Record<WeightingName, WeightingEntry>> = {
  simple: { description: 'the plain mean squared error', create: () => simple() },
  'min-snr': {
    description: 'min(SNR, gamma) on the error of x0: less weight to nearly clean data',
    create: ({ gamma } = {}) => minSnr(gamma),
  },
};

/**
 * Makes a weighting by name, as a configuration file or a command line gives it.
 *
 * @param name a key of {@link weightings}.
 * @param options the weighting's own parameters; `parameters` of a weighting makes it again.
 * @throws DiffuseError ERR_ARGUMENT for an unknown name, an unknown option or a value out of range.
 */
export function createWeighting(name: string, options: Readonly<Record<string, number>> = {}): Weighting {
  const weighting = lookUp<WeightingEntry>('weighting', weightings, name).create(options);
  checkOptionNames(`weighting '${name}'`, options, Object.keys(weighting.parameters));
  return weighting;
}
