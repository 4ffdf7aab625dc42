import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Spacing, spacedTimesteps, spacings } from '../../src/samplers/index.ts';

const { timesteps } = JSON.parse(readFileSync(new URL('./diffusers-steps.json', import.meta.url), 'utf8')) as {
  timesteps: { spacing: Spacing; steps: number; t: number[] }[];
};

describe('spacedTimesteps', () => {
  test.each(timesteps)('$spacing, $steps steps: the timesteps of diffusers', ({ spacing, steps, t }) => {
    expect(spacedTimesteps(spacing, 1000, steps)).toEqual(t);
  });

  test('leading, ten steps', () => {
    expect(spacedTimesteps('leading', 1000, 10)).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
  });

  test('quadratic: squares of evenly spaced roots, up to 0.8 T', () => {
    const roots = Array.from({ length: 10 }, (_, i) => (Math.sqrt(800) * i) / 9);
    const squares = roots.map((root) => Math.floor(root * root + 1e-9)).reverse();
    expect(spacedTimesteps('quadratic', 1000, 10)).toEqual(squares);
  });

  test.each(Object.keys(spacings) as Spacing[])('%s descends strictly within the timesteps', (spacing) => {
    const sizes = fc.integer({ min: 1, max: 2000 }).chain((total) => {
      return fc.tuple(fc.constant(total), fc.oneof(fc.integer({ min: 1, max: total }), fc.constant(total)));
    });
    fc.assert(
      fc.property(sizes, ([total, count]) => {
        const steps = spacedTimesteps(spacing, total, count);
        expect(steps.length).toBe(count);
        expect(steps.every((t, i) => Number.isInteger(t) && t >= 0 && t < (steps[i - 1] ?? total))).toBe(true);
        if (count === total) expect(steps.at(0)).toBe(total - 1);
      }),
    );
  });

  test('refuses what it does not know', () => {
    expect(() => spacedTimesteps('karras' as Spacing, 1000, 10)).toThrow("unknown spacing 'karras'");
    expect(() => spacedTimesteps('leading', 1000, 1001)).toThrow("a sampler's steps must be an integer from 1 to 1000");
  });
});
