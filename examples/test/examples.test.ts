import { describe, expect, test } from 'vitest';
import * as climb from '../climb-classifier.ts';
import * as latent from '../latent.ts';
import * as moons from '../moons.ts';
import * as signals from '../signals.ts';
import * as text from '../text.ts';
import * as video from '../video.ts';

interface Example {
  readonly run: (steps: number) => Promise<{ readonly ratio: number }>;
  /** Steps of training after which it must have come nearer to the data. */
  readonly steps: number;
}

// Each example at a size of seconds: it runs, it says the same again, and training brings it nearer to the data.
const examples: Readonly<Record<string, Example>> = {
  'climb-classifier': { run: (steps) => climb.run({ steps, classifierSteps: 20, count: 60 }), steps: 60 },
  latent: { run: (steps) => latent.run({ steps, count: 64 }), steps: 60 },
  moons: { run: (steps) => moons.run({ steps, points: 300 }), steps: 60 },
  signals: { run: (steps) => signals.run({ steps, paths: 64 }), steps: 60 },
  text: { run: (steps) => text.run({ steps, sentences: 64 }), steps: 40 },
  'text, letters replaced': { run: (steps) => text.run({ steps, sentences: 64, transition: 'uniform' }), steps: 40 },
  video: { run: (steps) => video.run({ steps, videos: 64 }), steps: 100 },
};

describe.each(Object.keys(examples))('%s', (name) => {
  const { run, steps } = examples[name] as Example;

  test('comes nearer to the data by training, the same way every time', { timeout: 180_000 }, async () => {
    const untrained = await run(1);
    const trained = await run(steps);
    expect(untrained.ratio).toBeGreaterThan(2);
    expect(trained.ratio).toBeGreaterThan(0);
    expect(trained.ratio).toBeLessThan(untrained.ratio / 2);
    expect(await run(steps)).toEqual(trained);
  });
});

test('what climbing a plain classifier makes convinces it, and is far from the data', {
  timeout: 180_000,
}, async () => {
  const { climbedConfidence, climbedRatio, ratio } = await climb.run({ steps: 60, classifierSteps: 300, count: 150 });
  expect(climbedConfidence).toBeGreaterThan(0.99);
  expect(climbedRatio).toBeGreaterThan(5);
  expect(climbedRatio).toBeGreaterThan(2 * ratio);
});
