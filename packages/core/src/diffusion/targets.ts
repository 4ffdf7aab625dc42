import { DiffuseError } from '../native/errors.ts';

/**
 * A quantity that is a linear mixture of the clean data and the noise in it. Together with
 * x_t = sqrt(alphaBar) x_0 + sqrt(1 - alphaBar) eps, any such quantity determines every other one.
 */
export interface Target {
  /** Name in the registry. */
  readonly name: string;
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** The factors a and b of target = a x0 + b eps at a noise level. */
  readonly mixture: (alphaBar: number) => { readonly x0: number; readonly eps: number };
}

/** What a network may be trained to predict. */
export type TargetName = 'eps' | 'x0' | 'v';

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
};

/**
 * The score, the gradient of log q(x_t | x_0): -eps / sqrt(1 - alphaBar) (Song et al. 2021, arXiv:2011.13456). It is here to
 * be converted to and from, not in {@link targets}: as a regression target its scale has no bound near clean data.
 */
export const score: Target = {
  name: 'score',
  description: 'the gradient of the log density, -eps / sqrt(1 - alphaBar)',
  mixture: (alphaBar) => ({ x0: 0, eps: -1 / Math.sqrt(1 - alphaBar) }),
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
 * @throws DiffuseError ERR_ARGUMENT where `from` does not determine `to`: the noise says nothing about the data where
 *   alphaBar is 0.
 */
export function convert(from: Target, to: Target, alphaBar: number): Conversion {
  if (from.name === to.name) return { x: 0, prediction: 1 };
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  const { x0: a, eps: b } = from.mixture(alphaBar);
  const wanted = to.mixture(alphaBar);
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
