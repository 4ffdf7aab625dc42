import { describe, expect, test } from 'vitest';
import * as moons from '../moons.ts';
import * as signals from '../signals.ts';

// Each example at a size of seconds: it runs, it says the same again, and training brings it nearer to the data.
const examples: Readonly<Record<string, (steps: number) => Promise<{ readonly ratio: number }>>> = {
  moons: (steps) => moons.run({ steps, points: 300 }),
  signals: (steps) => signals.run({ steps, paths: 64 }),
};

describe.each(Object.keys(examples))('examples/%s.ts', (name) => {
  const run = examples[name] as (steps: number) => Promise<{ readonly ratio: number }>;

  test('comes nearer to the data by training, the same way every time', { timeout: 120_000 }, async () => {
    const untrained = await run(1);
    const trained = await run(60);
    expect(untrained.ratio).toBeGreaterThan(2);
    expect(trained.ratio).toBeGreaterThan(0);
    expect(trained.ratio).toBeLessThan(untrained.ratio / 2);
    expect(await run(60)).toEqual(trained);
  });
});
