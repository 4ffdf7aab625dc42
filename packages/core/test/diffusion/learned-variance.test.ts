import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { boundTable, estimateTable, type LastTerm, logVarianceRange } from '../../src/diffusion/learned-variance.ts';
import { type TargetName, targets } from '../../src/diffusion/targets.ts';
import { continuousGaussian, discretisedGaussian } from '../../src/evaluation/gaussian-probability.ts';
import { boundTermNats, learnedLogVariance, reverseLogVariance } from '../../src/evaluation/variational-bound.ts';
import { cosineSchedule, createSchedule, linearSchedule } from '../../src/schedules/index.ts';

const names = Object.keys(targets) as TargetName[];

describe('logVarianceRange', () => {
  test('v = -1 is the small variance and v = 1 the large one, at every timestep', () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 100 }) });
    for (let t = 0; t < diffusion.steps; t++) {
      const { low, high } = logVarianceRange(diffusion, t);
      const [small, large] = learnedLogVariance(diffusion, t, Float64Array.of(-1, 1));
      expect([low, high]).toEqual([small, large]);
      expect(low).toBe(reverseLogVariance(diffusion, t, { variance: 'fixed-small' }));
      const rules = { variance: 'fixed-large', lastVariance: 'beta' } as const;
      expect(high).toBeCloseTo(reverseLogVariance(diffusion, t, rules), 14);
    }
  });

  test('of a single timestep both are its beta', () => {
    const { low, high } = logVarianceRange(gaussianDiffusion({ schedule: linearSchedule({ steps: 1 }) }), 0);
    expect(low).toBe(high);
  });
});

/** An element's part of the bound in nats from a row of the table, as `native/ops/hybrid_loss.h` has it, of a step with noise. */
function natsOf(row: Float32Array, error: number, v: number): number {
  const [precision = 0, span = 0, kind = 0, logVariance = 0] = row;
  const r = ((v + 1) / 2) * span;
  const square = precision * error * error * Math.exp(-r);
  return kind === 0 ? 0.5 * (square + Math.expm1(-r) + r) : 0.5 * (Math.log(2 * Math.PI) + logVariance + r + square);
}

describe('boundTable', () => {
  test.each(names)('of %s gives the terms of the bound from the error of the prediction', (predict) => {
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 50 }), predict });
    const table = boundTable(diffusion, 'density');
    const cases = fc.record({
      t: fc.integer({ min: 0, max: 49 }),
      x0: fc.double({ min: -1, max: 1, noNaN: true }),
      eps: fc.double({ min: -3, max: 3, noNaN: true }),
      error: fc.double({ min: -2, max: 2, noNaN: true }),
      v: fc.double({ min: -1.5, max: 1.5, noNaN: true }),
    });
    fc.assert(
      fc.property(cases, ({ t, x0, eps, error, v }) => {
        const one = (value: number): Float64Array => Float64Array.of(value);
        const xt = diffusion.qSample(one(x0), t, one(eps));
        const target = diffusion.target(one(x0), one(eps), t);
        const predictedX0 = diffusion.predictX0(xt, one((target[0] as number) - error), t);
        const logVariance = learnedLogVariance(diffusion, t, one(v));
        const expected = boundTermNats(diffusion, {
          t,
          x0: one(x0),
          predictedX0,
          logVariance,
          reconstruction: continuousGaussian(),
        });
        const nats = natsOf(table.subarray(6 * t, 6 * t + 6), error, v);
        // The table is float32.
        expect(Math.abs(nats - expected)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)));
      }),
    );
  });

  test.each<[LastTerm, number]>([
    ['density', 1],
    ['bytes', 2],
  ])('the last term of %s is of kind %i, all others are divergences', (last, kind) => {
    const table = boundTable(gaussianDiffusion({ schedule: linearSchedule({ steps: 20 }) }), last);
    expect(Array.from({ length: 20 }, (_, t) => table[6 * t + 2])).toEqual([kind, ...new Array(19).fill(0)]);
  });

  test('the factors of the last rows make x0 of what the network sees and says', () => {
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 50 }), predict: 'edm' });
    const [bounds, estimates] = [boundTable(diffusion, 'bytes'), estimateTable(diffusion)];
    for (const t of [0, 1, 25, 49]) {
      const xt = diffusion.qSample(Float64Array.of(0.3), t, Float64Array.of(-1.1));
      const seen = (xt[0] as number) * diffusion.inputScale(t);
      const [said = 0] = diffusion.target(Float64Array.of(0.3), Float64Array.of(-1.1), t);
      const [fromX = 0, fromPrediction = 0] = estimates.subarray(2 * t);
      expect(fromX * seen + fromPrediction * said).toBeCloseTo(0.3, 4);
      expect([...bounds.subarray(6 * t + 4, 6 * t + 6)]).toEqual([fromX, fromPrediction]);
    }
  });

  test('is refused where the prediction says nothing of x0', () => {
    const diffusion = gaussianDiffusion({ schedule: createSchedule('linear', { zeroTerminalSnr: 1 }) });
    expect(() => boundTable(diffusion, 'bytes')).toThrow("'eps' does not determine 'x0'");
  });
});

test('the probability of a byte is that of the evaluation', () => {
  // What the kernel computes in units of the noise of the last step is tested by its op cases; here, that the units agree.
  const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 50 }), predict: 'x0' });
  const { low } = logVarianceRange(diffusion, 0);
  const [, , , logVariance = 0, fromX, fromPrediction] = boundTable(diffusion, 'bytes');
  expect([fromX, fromPrediction]).toEqual([0, 1]);
  const nats = discretisedGaussian()(Float64Array.of(1 / 255), Float64Array.of(0), low);
  expect(discretisedGaussian()(Float64Array.of(1 / 255), Float64Array.of(0), logVariance)).toBeCloseTo(nats, 5);
});
