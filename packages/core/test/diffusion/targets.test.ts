import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { convert, score, type Target, targets } from '../../src/diffusion/index.ts';
import { expectClose } from '../schedules/close.ts';

const all: Target[] = [...Object.values(targets), score];
const pairs = all.flatMap((from) => all.map((to): [string, string, Target, Target] => [from.name, to.name, from, to]));
const number = fc.double({ min: -3, max: 3, noNaN: true });
const level = fc.double({ min: 1e-4, max: 1 - 1e-4, noNaN: true });

describe('conversions', () => {
  test.each(pairs)('%s to %s is what the definitions say, and back', (_from, _to, from, to) => {
    fc.assert(
      fc.property(number, number, level, (x0, eps, alphaBar) => {
        const xt = Math.sqrt(alphaBar) * x0 + Math.sqrt(1 - alphaBar) * eps;
        const known = from.mixture(alphaBar).x0 * x0 + from.mixture(alphaBar).eps * eps;
        const wanted = to.mixture(alphaBar).x0 * x0 + to.mixture(alphaBar).eps * eps;
        const there = convert(from, to, alphaBar);
        const back = convert(to, from, alphaBar);
        const found = there.x * xt + there.prediction * known;
        expectClose(found, wanted, 1e-10, 1);
        expectClose(back.x * xt + back.prediction * found, known, 1e-8, 1);
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

  test('are registered under their names', () => {
    for (const [name, target] of Object.entries(targets)) expect(target.name).toBe(name);
  });
});
