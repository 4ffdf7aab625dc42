const LOG_SQRT_2_PI = 0.5 * Math.log(2 * Math.PI);

/** log of the standard normal density. */
function logDensity(z: number): number {
  return -0.5 * z * z - LOG_SQRT_2_PI;
}

/** Where the series gives way to the continued fraction: both have about 13 digits of the tail there. */
const TAIL_BEGINS = 3;

/**
 * The lower tail Phi(z) of the standard normal law, z <= 0, to a relative error of about 1e-13. Near 0 by the series
 *
 *     Phi(z) = 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 * 5) + …)                  Marsaglia 2004, doi:10.18637/jss.v011.i04
 *
 * and in the tail by Laplace's continued fraction phi(z) / (a + 1 / (a + 2 / (a + 3 / …))), a = -z.
 */
function lowerTail(z: number): number {
  if (z < -TAIL_BEGINS) {
    let fraction = -z;
    for (let k = 100; k >= 1; k--) fraction = -z + k / fraction;
    return Math.exp(logDensity(z)) / fraction;
  }
  let sum = 0;
  let term = z;
  // 60 terms reach the last digit at z = -3.
  for (let k = 3; k < 123; k += 2) {
    sum += term;
    term *= (z * z) / k;
  }
  return 0.5 + Math.exp(logDensity(z)) * sum;
}

/** The distribution function of the standard normal law, in [0, 1]. */
export function normalCdf(z: number): number {
  return z <= 0 ? lowerTail(z) : 1 - lowerTail(-z);
}

/**
 * The inverse of {@link normalCdf}: the z below which a standard normal draw falls with probability p.
 *
 * Newton's method on log Phi, which is concave and, in the tail, nearly a parabola: from the left it converges in a
 * handful of rounds and never overshoots.
 *
 * @param p in (0, 1).
 */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  // Phi(z) <= exp(-z^2 / 2), so this is left of the quantile.
  let z = -Math.sqrt(-2 * Math.log(p));
  for (let round = 0; round < 20; round++) {
    const tail = lowerTail(z);
    const step = (Math.log(p / tail) * tail) / Math.exp(logDensity(z));
    z = Math.min(z + step, 0);
    if (Math.abs(step) < 1e-15 * Math.abs(z)) break;
  }
  return z;
}
