/**
 * Logarithm of the probability that a standard normal number lies in [low, high], high above low, either may be infinite: the density
 * at the point nearest to 0, times the integral of the density over that one by Simpson's rule. Slow, simple and accurate far out in the
 * tails: what tests compare with.
 */
export function normalMass(low: number, high: number): number {
  const nearest = Math.min(Math.max(0, low), high);
  // Beyond this far from the nearest point the density is below e^-60 of that there.
  const reach = nearest === 0 ? 11 : Math.min(11, 60 / Math.abs(nearest));
  const from = Math.max(low, nearest - reach);
  const to = Math.min(high, nearest + reach);
  const intervals = 2 * Math.max(8, Math.ceil((to - from) * 5 * Math.max(1, Math.abs(nearest))));
  const width = (to - from) / intervals;
  let sum = 0;
  for (let k = 0; k <= intervals; k++) {
    const z = from + k * width;
    const weight = k === 0 || k === intervals ? 1 : k % 2 === 0 ? 2 : 4;
    sum += weight * Math.exp(((nearest - z) * (nearest + z)) / 2);
  }
  return Math.log((sum * width) / 3) - nearest ** 2 / 2 - Math.log(2 * Math.PI) / 2;
}
