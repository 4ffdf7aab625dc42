import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Conversion,
  convert,
  edm,
  posteriorCoefficients,
  type Target,
  targets,
} from '../../src/diffusion/index.ts';
import { expectClose } from '../schedules/close.ts';

const { score } = targets;
const all: Target[] = Object.values(targets);
const pairs = all.flatMap((from) => all.map((to): [string, string, Target, Target] => [from.name, to.name, from, to]));
const number = fc.double({ min: -3, max: 3, noNaN: true });
const level = fc.double({ min: 1e-4, max: 1 - 1e-4, noNaN: true });

// How far the level before lies on the way to clean data: down to one step of a thousand.
const share = fc.double({ min: 1e-3, max: 1, noNaN: true });

function mixed(target: Target, alphaBar: number, previous: number, x0: number, eps: number): number {
  const factors = target.mixture(alphaBar, previous);
  return factors.x0 * x0 + factors.eps * eps;
}

/** The same, of the sizes of its terms. */
function mixedSizes(target: Target, alphaBar: number, previous: number, x0: number, eps: number): number {
  const factors = target.mixture(alphaBar, previous);
  return Math.abs(factors.x0 * x0) + Math.abs(factors.eps * eps);
}

describe('conversions', () => {
  test.each(pairs)('%s to %s is what the definitions say, and back', (_from, _to, from, to) => {
    fc.assert(
      fc.property(number, number, level, share, (x0, eps, alphaBar, between) => {
        const previous = alphaBar + between * (1 - alphaBar);
        const [signal, noise] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
        const xt = signal * x0 + noise * eps;
        const known = mixed(from, alphaBar, previous, x0, eps);
        const wanted = mixed(to, alphaBar, previous, x0, eps);
        const there = convert(from, to, alphaBar, previous);
        const back = convert(to, from, alphaBar, previous);
        const found = there.x * xt + there.prediction * known;
        // What is found is a difference of terms that may be much larger than it, and carries their rounding.
        const sizeOfX = signal * Math.abs(x0) + noise * Math.abs(eps);
        const sizeOf = (conversion: Conversion, size: number): number =>
          Math.max(1, Math.abs(conversion.x) * sizeOfX + Math.abs(conversion.prediction) * size);
        const sizeOfFound = sizeOf(there, mixedSizes(from, alphaBar, previous, x0, eps));
        expectClose(found, wanted, 1e-12, sizeOfFound);
        expectClose(back.x * xt + back.prediction * found, known, 1e-12, sizeOf(back, sizeOfFound));
      }),
    );
  });

  test('are those of the papers', () => {
    const alphaBar = 0.36; // signal 0.6, noise 0.8
    const to = (from: Target, wanted: Target): number[] => Object.values(convert(from, wanted, alphaBar));
    const expected: [Target, Target, number, number][] = [
      [targets.eps, targets.x0, 1 / 0.6, -0.8 / 0.6],
      [targets.x0, targets.eps, 1 / 0.8, -0.6 / 0.8],
      [targets.v, targets.x0, 0.6, -0.8],
      [targets.v, targets.eps, 0.8, 0.6],
      [targets.eps, score, 0, -1 / 0.8],
      [targets.x0, score, -1 / 0.64, 0.6 / 0.64], // (sqrt(alphaBar) x0 - x_t) / (1 - alphaBar), Tweedie
    ];
    for (const [from, wanted, x, prediction] of expected) {
      expectClose(to(from, wanted)[0], x, 1e-14, 1);
      expectClose(to(from, wanted)[1], prediction, 1e-14, 1);
    }
  });

  test('exist at pure noise for x0 and v only', () => {
    expect(convert(targets.x0, targets.eps, 0)).toEqual({ x: 1, prediction: -0 });
    expect(convert(targets.v, targets.x0, 0)).toEqual({ x: 0, prediction: -1 });
    expect(convert(targets.eps, targets.eps, 0)).toEqual({ x: 0, prediction: 1 });
    expect(() => convert(targets.eps, targets.v, 0)).toThrow(
      "'eps' does not determine 'v' where alphaBar is 0 (only noise is left): predict 'v' or 'x0', or take a schedule",
    );
    expect(() => convert(score, targets.x0, 0)).toThrow("'score' does not determine 'x0'");
  });

  test('mean is the mean of the posterior', () => {
    const [alphaBar, previous, x0, xt] = [0.3, 0.45, 0.7, -1.2];
    const eps = (xt - Math.sqrt(alphaBar) * x0) / Math.sqrt(1 - alphaBar);
    const posterior = posteriorCoefficients(alphaBar, previous);
    expectClose(mixed(targets.mean, alphaBar, previous, x0, eps), posterior.x0 * x0 + posterior.xt * xt, 1e-14, 1);
  });

  test("edm is the paper's preconditioning, and -v for data of deviation 1", () => {
    const [sigma, x0, eps, s] = [1.7, 0.7, -1.2, 0.5];
    const alphaBar = 1 / (1 + sigma * sigma);
    const target = edm(s);
    const x = x0 + sigma * eps;
    const [skip, out] = [s ** 2 / (sigma ** 2 + s ** 2), (sigma * s) / Math.hypot(sigma, s)];
    expectClose(mixed(target, alphaBar, 1, x0, eps), (x0 - skip * x) / out, 1e-14, 1);
    const input = (target.inputScale?.(alphaBar) as number) * Math.sqrt(alphaBar) * x;
    expectClose(input, x / Math.hypot(sigma, s), 1e-14, 1);
    expectClose(target.told?.(alphaBar), Math.log(sigma) / 4, 1e-14, 1);
    expectClose(mixed(edm(1), alphaBar, 1, x0, eps), -mixed(targets.v, alphaBar, 1, x0, eps), 1e-14, 1);
    expect(() => edm(0)).toThrow("deviation of target 'edm' must be a number above 0");
  });

  test('are registered under their names', () => {
    for (const [name, target] of Object.entries(targets)) expect(target.name).toBe(name);
  });
});
