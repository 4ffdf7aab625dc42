/** One step from a noise level t back to a less noisy level s, knowing the clean data. */
export interface PosteriorCoefficients {
  /** Factor of x0 in the mean. */
  readonly x0: number;
  /** Factor of x_t in the mean. */
  readonly xt: number;
  /** Variance of the posterior: the "fixed small" choice of a sampler, 0 when s is clean data. */
  readonly variance: number;
  /** Variance that the forward step from s to t adds: the "fixed large" choice of a sampler. */
  readonly beta: number;
}

/**
 * The posterior q(x_s | x_t, x_0) = N(x0 * x_0 + xt * x_t, variance I) (Ho et al. 2020, eqs. (6) and (7),
 * arXiv:2006.11239). The levels need not be neighbours: the step between them is one of variance
 * beta = 1 - alphaBar_t / alphaBar_s, as respaced sampling wants it (Nichol and Dhariwal 2021, eq. (19), arXiv:2102.09672).
 *
 * @param alphaBar of the noisier level t, in [0, 1).
 * @param alphaBarPrevious of the less noisy level s, in (alphaBar, 1]; 1 is clean data.
 */
export function posteriorCoefficients(alphaBar: number, alphaBarPrevious: number): PosteriorCoefficients {
  const alpha = alphaBar / alphaBarPrevious;
  // The difference of the levels is exact where they are close, and 1 - alpha is not.
  const beta = (alphaBarPrevious - alphaBar) / alphaBarPrevious;
  const share = (1 - alphaBarPrevious) / (1 - alphaBar);
  return {
    x0: (beta * Math.sqrt(alphaBarPrevious)) / (1 - alphaBar),
    xt: share * Math.sqrt(alpha),
    variance: share * beta,
    beta,
  };
}
