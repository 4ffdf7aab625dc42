import { checkOptionNames, checkPositive, lookUp } from '../schedules/checks.ts';
import { snr } from '../schedules/schedule.ts';
import { posteriorCoefficients } from './posterior.ts';
import { convert, type Target, targets } from './targets.ts';

/** How much the squared error of a prediction counts at each noise level. */
export interface Weighting {
  /** Name in the registry. */
  readonly name: string;
  /** What the weighting was made from; enough to make it again. */
  readonly parameters: Readonly<Record<string, number>>;
  /**
   * The weight, at least 0, of the squared error of `target`.
   *
   * @param alphaBar the noise level, in [0, 1).
   * @param previous alphaBar of the level before it, in (alphaBar, 1].
   */
  readonly weight: (alphaBar: number, target: Target, previous: number) => number;
}

/** A weighting that is given as the weight of the squared error of x0. */
function onX0(
  name: string,
  parameters: Readonly<Record<string, number>>,
  weightOfX0: (alphaBar: number, previous: number) => number,
): Weighting {
  return {
    name,
    parameters,
    weight(alphaBar, target, previous) {
      // An error of the prediction is an error of x0 scaled by this factor, so the same rule serves every target.
      const { prediction } = convert(target, targets.x0, alphaBar, previous);
      return weightOfX0(alphaBar, previous) * prediction ** 2;
    },
  };
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
  return onX0('min-snr', { gamma }, (alphaBar) => Math.min(snr(alphaBar), gamma));
}

/**
 * Soft min-SNR (Crowson et al. 2024, section 3.3.2, arXiv:2401.11605): the squared error of x0 is weighted by
 * SNR gamma / (SNR + gamma), which is gamma where there is little noise and the SNR where there is much, without a corner.
 *
 * @param gamma above 0; 4 is k-diffusion's, one over the variance of images.
 * @throws DiffuseError ERR_ARGUMENT for another gamma.
 */
export function softMinSnr(gamma = 4): Weighting {
  checkPositive("gamma of weighting 'soft-min-snr'", gamma, Infinity);
  return onX0('soft-min-snr', { gamma }, (alphaBar) => {
    const ratio = snr(alphaBar);
    return (ratio * gamma) / (ratio + gamma);
  });
}

/**
 * EDM's weighting (Karras et al. 2022, table 1, arXiv:2206.00364): the squared error of x0 is weighted by
 * (sigma^2 + s^2) / (sigma s)^2 = SNR + 1 / s^2, which is weight 1 on the preconditioned output `edm(s)`.
 *
 * @param deviation standard deviation s of the data, above 0.
 * @throws DiffuseError ERR_ARGUMENT for another deviation.
 */
export function edmWeighting(deviation = 0.5): Weighting {
  checkPositive("deviation of weighting 'edm'", deviation, Infinity);
  return onX0('edm', { deviation }, (alphaBar) => snr(alphaBar) + 1 / (deviation * deviation));
}

/**
 * The variational bound's own weights (Ho et al. 2020, eqs. (8) and (12), arXiv:2006.11239): the squared error of x0 is weighted by
 *
 *     |d mean / d x0|^2 / (2 variance) = (SNR' - SNR) / 2,
 *
 * the Kullback-Leibler divergence of a step with the posterior's variance, in nats an element. The first step ends at clean data,
 * where that variance is 0: it has the forward step's instead, beta_0.
 */
export function vlb(): Weighting {
  return onX0('vlb', {}, (alphaBar, previous) => {
    const { x0, variance, beta } = posteriorCoefficients(alphaBar, previous);
    return (x0 * x0) / (2 * (previous === 1 ? beta : variance));
  });
}

/** One line of the registry of weightings. */
export interface WeightingEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** Makes the weighting; each of its own parameters has a default. */
  readonly create: (options?: Readonly<Record<string, number>>) => Weighting;
}

/** Name of a weighting in the registry. */
export type WeightingName = 'simple' | 'min-snr' | 'soft-min-snr' | 'edm' | 'vlb';

/** Every weighting by the name that configurations and the command line use. */
export const weightings: Readonly<Record<WeightingName, WeightingEntry>> = {
  simple: { description: 'the plain mean squared error', create: () => simple() },
  'min-snr': {
    description: 'min(SNR, gamma) on the error of x0: less weight to nearly clean data',
    create: ({ gamma } = {}) => minSnr(gamma),
  },
  'soft-min-snr': {
    description: 'SNR gamma / (SNR + gamma) on the error of x0: min-snr without a corner',
    create: ({ gamma } = {}) => softMinSnr(gamma),
  },
  edm: {
    description: "(sigma^2 + s^2) / (sigma s)^2 on the error of x0: 1 on EDM's output",
    create: ({ deviation } = {}) => edmWeighting(deviation),
  },
  vlb: { description: 'the weights of the variational bound: likelihood rather than looks', create: () => vlb() },
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
