/**
 * The samplers as their papers write them: plain loops over falling noise levels, in the view x0 + sigma eps, on one number. What the
 * tables of coefficients are compared with; nothing of theirs is used here.
 */

/** E[x0 | x] of x = x0 + sigma eps. */
export type Denoise = (x: number, sigma: number) => number;

/** Fresh noise, one number a call. */
export type Noise = () => number;

/** Where a loop begins and what it passes: falling noise levels, the last one 0, and x at the first. */
export interface Start {
  readonly sigmas: readonly number[];
  readonly x: number;
}

const pairs = (sigmas: readonly number[]): [number, number][] =>
  sigmas.slice(1).map((next, i) => [sigmas[i] as number, next]);

/** Karras et al. 2022, algorithm 2, arXiv:2206.00364. */
export function heunLoop(
  denoise: Denoise,
  { sigmas, x: start }: Start,
  { churn = 0, churnMin = 0, churnMax = Infinity, churnNoise = 1 },
  noise: Noise,
): number {
  let x = start;
  for (const [t, next] of pairs(sigmas)) {
    const gamma = churnMin <= t && t <= churnMax ? Math.min(churn / (sigmas.length - 1), Math.SQRT2 - 1) : 0;
    const hat = t + gamma * t;
    if (gamma > 0) x += Math.sqrt(hat * hat - t * t) * churnNoise * noise();
    const slope = (x - denoise(x, hat)) / hat;
    let end = x + (next - hat) * slope;
    if (next > 0) end = x + (next - hat) * (slope / 2 + (end - denoise(end, next)) / next / 2);
    x = end;
  }
  return x;
}

/** k-diffusion's `sample_euler_ancestral`: down to sigmaDown, then noise up to sigma'. */
export function eulerAncestralLoop(denoise: Denoise, { sigmas, x: start }: Start, eta: number, noise: Noise): number {
  let x = start;
  for (const [sigma, next] of pairs(sigmas)) {
    const up = Math.min(next, eta * Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2));
    const down = Math.sqrt(next ** 2 - up ** 2);
    x += (down - sigma) * ((x - denoise(x, sigma)) / sigma);
    if (up > 0) x += up * noise();
  }
  return x;
}

/** DPM-Solver++(2M) of the stochastic equation, midpoint form (Lu et al. 2022, arXiv:2211.01095), in t = -ln sigma. */
export function dpmSolverSdeLoop(denoise: Denoise, { sigmas, x: start }: Start, eta: number, noise: Noise): number {
  let x = start;
  let before: { estimate: number; h: number } | undefined;
  for (const [sigma, next] of pairs(sigmas)) {
    const estimate = denoise(x, sigma);
    if (next === 0) return estimate;
    const h = Math.log(sigma) - Math.log(next);
    const share = -Math.expm1(-h - eta * h);
    x = (next / sigma) * Math.exp(-eta * h) * x + share * estimate;
    if (before) x += 0.5 * share * (h / before.h) * (estimate - before.estimate);
    if (eta > 0) x += next * Math.sqrt(-Math.expm1(-2 * eta * h)) * noise();
    before = { estimate, h };
  }
  return x;
}

/** phi_k(z) = sum of z^j / (j + k)!, of exponential integrators: phi_1 = (e^z - 1) / z, phi_{k+1} = (phi_k - 1 / k!) / z. */
function phi(k: number, z: number): number {
  let term = 1;
  for (let i = 2; i <= k; i++) term /= i;
  let sum = 0;
  for (let j = 1; Math.abs(term) > 1e-20; j++) {
    sum += term;
    term *= z / (j + k);
  }
  return sum;
}

/**
 * UniPC-2 for estimates of x0, B(h) = e^h - 1 (Zhao et al. 2023, algorithms 5 to 8, arXiv:2302.04867): UniP-2 predicts, the network is
 * asked once at what it predicted, UniC-2 corrects.
 */
export function unipcLoop(denoise: Denoise, { sigmas, x: start }: Start): number {
  let predicted = start; // what the network is asked at
  let x = start; // before the last prediction, corrected
  let [now, before] = [Number.NaN, Number.NaN]; // estimates at the level of x and at the level before it
  let [h, hBefore] = [Number.NaN, Number.NaN];
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const estimate = denoise(predicted, sigma);
    const z = -h;
    const corrected = (): number => {
      const linear = Math.exp(z) * x - Math.expm1(z) * now;
      if (i === 1) return linear - Math.expm1(z) * 0.5 * (estimate - now);
      // The estimate before lies at -hBefore / h; the rows are 1 and r of both differences.
      const r = -hBefore / h;
      const [b1, b2] = [phi(2, z) / phi(1, z), (2 * phi(3, z)) / phi(1, z)];
      const rho = (b2 - r * b1) / (1 - r);
      return linear - Math.expm1(z) * (((b1 - rho) * (before - now)) / r + rho * (estimate - now));
    };
    x = i === 0 ? start : corrected();
    [before, now] = [now, estimate];
    if (next === 0) return estimate;
    [hBefore, h] = [h, Math.log(sigma) - Math.log(next)];
    predicted = (next / sigma) * x - Math.expm1(-h) * now;
    if (i > 0) predicted -= Math.expm1(-h) * 0.5 * ((before - now) / (-hBefore / h));
  }
  return predicted;
}

/** smalldiffusion's `samples` (Permenter and Yuan 2024, arXiv:2306.04848). */
export function momentumLoop(
  denoise: Denoise,
  { sigmas, x: start }: Start,
  { gam, mu }: { gam: number; mu: number },
  noise: Noise,
): number {
  let x = start;
  let before: number | undefined;
  for (const [sigma, next] of pairs(sigmas)) {
    const eps = (x - denoise(x, sigma)) / sigma;
    const average = before === undefined ? eps : gam * eps + (1 - gam) * before;
    const down = (next / sigma ** mu) ** (1 / (1 - mu));
    x -= (sigma - down) * average;
    if (mu > 0 && next > 0) x += Math.sqrt(next ** 2 - down ** 2) * noise();
    before = eps;
  }
  return x;
}
