import { DiffuseError } from '../native/errors.ts';
import { checkPositive } from '../schedules/checks.ts';
import { posteriorCoefficients } from './posterior.ts';

/**
 * A quantity that is a linear mixture of the clean data and the noise in it. Together with
 * x_t = sqrt(alphaBar) x_0 + sqrt(1 - alphaBar) eps, any such quantity determines every other one.
 */
export interface Target {
  /** Name in the registry. */
  readonly name: string;
  /** One line for `--help` and the docs. */
  readonly description: string;
  /**
   * The factors a and b of target = a x0 + b eps at a noise level.
   *
   * @param alphaBar of the level, in [0, 1).
   * @param previous alphaBar of the level before it, in (alphaBar, 1]; only 'mean' asks for it.
   */
  readonly mixture: (alphaBar: number, previous: number) => { readonly x0: number; readonly eps: number };
  /** What the network's input is multiplied with, as a function of alphaBar; absent: it gets x_t as it is. */
  readonly inputScale?: (alphaBar: number) => number;
  /** What the network is told of the noise level, as a function of alphaBar; absent: the timestep. */
  readonly told?: (alphaBar: number) => number;
}

/** Name of a target in the registry. */
export type TargetName = 'eps' | 'x0' | 'v' | 'score' | 'flow' | 'mean' | 'edm';

/** Standard deviation of images in [-1, 1], as EDM takes it for every data set. */
const IMAGE_DEVIATION = 0.5;

/**
 * EDM's preconditioning (Karras et al. 2022, table 1 and eq. (8), arXiv:2206.00364). With the variance-exploding
 * x = x0 + sigma eps, the network F sees cIn x and ln(sigma) / 4, and the estimate of x0 is cSkip x + cOut F:
 *
 *     cSkip = s^2 / (sigma^2 + s^2)      cOut = sigma s / sqrt(sigma^2 + s^2)      cIn = 1 / sqrt(sigma^2 + s^2)
 *
 * So F = (x0 - cSkip x) / cOut, of variance 1 for data of deviation s. With s = 1 it is -v.
 *
 * @param deviation standard deviation s of the data, above 0.
 */
export function edm(deviation: number = IMAGE_DEVIATION): Target {
  checkPositive("deviation of target 'edm'", deviation, Infinity);
  // All in signal = sqrt(alphaBar) and noise = sqrt(1 - alphaBar), sigma = noise / signal, so that sigma may be infinite.
  const length = (alphaBar: number): number => Math.sqrt(1 - alphaBar + deviation * deviation * alphaBar);
  return {
    name: 'edm',
    description: "EDM's preconditioned output (Karras et al. 2022)",
    mixture: (alphaBar) => ({
      x0: Math.sqrt(1 - alphaBar) / (deviation * length(alphaBar)),
      eps: (-deviation * Math.sqrt(alphaBar)) / length(alphaBar),
    }),
    // cIn x = (x_t / signal) / sqrt(sigma^2 + s^2)
    inputScale: (alphaBar) => 1 / length(alphaBar),
    told: (alphaBar) => Math.log((1 - alphaBar) / alphaBar) / 8,
  };
}

/** Everything a network may be trained to predict, by the name that configurations and the command line use. */
export const targets: Readonly<Record<TargetName, Target>> = {
  eps: {
    name: 'eps',
    description: 'the noise (Ho et al. 2020)',
    mixture: () => ({ x0: 0, eps: 1 }),
  },
  x0: {
    name: 'x0',
    description: 'the clean data',
    mixture: () => ({ x0: 1, eps: 0 }),
  },
  // Salimans and Ho 2022, appendix D, arXiv:2202.00512.
  v: {
    name: 'v',
    description: 'the velocity sqrt(alphaBar) eps - sqrt(1 - alphaBar) x0 (Salimans and Ho 2022)',
    mixture: (alphaBar) => ({ x0: -Math.sqrt(1 - alphaBar), eps: Math.sqrt(alphaBar) }),
  },
  // Song et al. 2021, arXiv:2011.13456. Its size has no bound near clean data: the plain squared error sees little else.
  score: {
    name: 'score',
    description: 'the gradient of the log density, -eps / sqrt(1 - alphaBar) (Song et al. 2021)',
    mixture: (alphaBar) => ({ x0: 0, eps: -1 / Math.sqrt(1 - alphaBar) }),
  },
  // Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003.
  flow: {
    name: 'flow',
    description: 'the straight way from the data to the noise, eps - x0 (flow matching)',
    mixture: () => ({ x0: -1, eps: 1 }),
  },
  // Nakkiran et al. 2024, arXiv:2406.08929, section 2: E[x_{t-1} | x_t], here with the mean over x_{t-1} already taken, which has
  // the same minimiser and less variance.
  mean: {
    name: 'mean',
    description: 'the mean of the step before, E[x_{t-1} | x_t, x_0] (Ho et al. 2020, eq. (7))',
    mixture(alphaBar, previous) {
      const { x0, xt } = posteriorCoefficients(alphaBar, previous);
      return { x0: x0 + xt * Math.sqrt(alphaBar), eps: xt * Math.sqrt(1 - alphaBar) };
    },
  },
  edm: edm(),
};

/** A quantity as a mixture of the noisy data and a known target: x x_t + prediction * (the target). */
export interface Conversion {
  /** Factor of x_t. */
  readonly x: number;
  /** Factor of the known target. */
  readonly prediction: number;
}

/**
 * How to get one quantity from x_t and another: the solution of the two linear equations
 *
 *     x_t  = sqrt(alphaBar) x0 + sqrt(1 - alphaBar) eps
 *     from = a x0 + b eps
 *
 * put into the mixture `to`.
 *
 * @param from what is known, besides x_t.
 * @param to what is wanted.
 * @param alphaBar the noise level, in [0, 1).
 * @param previous alphaBar of the level before it, in (alphaBar, 1]; 1 is clean data.
 * @throws DiffuseError ERR_ARGUMENT where `from` does not determine `to`: the noise says nothing about the data where
 *   alphaBar is 0.
 */
export function convert(from: Target, to: Target, alphaBar: number, previous = 1): Conversion {
  if (from.name === to.name) return { x: 0, prediction: 1 };
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  const { x0: a, eps: b } = from.mixture(alphaBar, previous);
  const wanted = to.mixture(alphaBar, previous);
  const determinant = signal * b - noise * a;
  if (determinant === 0) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `'${from.name}' does not determine '${to.name}' where alphaBar is ${alphaBar} (only noise is left): ` +
        "predict 'v' or 'x0', or take a schedule that ends above 0",
    );
  }
  return {
    x: (wanted.x0 * b - wanted.eps * a) / determinant,
    prediction: (wanted.eps * signal - wanted.x0 * noise) / determinant,
  };
}
