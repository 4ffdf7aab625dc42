import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type TargetName } from '../../src/diffusion/index.ts';
import { createSampler, type DdpmVariance } from '../../src/samplers/index.ts';
import { createSchedule } from '../../src/schedules/index.ts';
import { expectAllClose } from '../schedules/close.ts';

/** A run of one of diffusers' schedulers in float64 with given answers of the network, by diffusers-steps.py. */
interface Trajectory {
  sampler: string;
  eta?: number;
  variance?: DdpmVariance;
  schedule: string;
  predict: TargetName;
  xT: number[];
  t: number[];
  predictions: number[][];
  noises: number[][];
  x: number[][];
  x0: number[][];
}

const { trajectories } = JSON.parse(readFileSync(new URL('./diffusers-steps.json', import.meta.url), 'utf8')) as {
  trajectories: Trajectory[];
};

describe('trajectories of diffusers', () => {
  test.each(trajectories)('$sampler $eta $variance, $schedule, $predict', (theirs) => {
    const { sampler: name, eta, variance, predict } = theirs;
    const diffusion = gaussianDiffusion({ schedule: createSchedule(theirs.schedule), predict });
    const sampler = createSampler(name, {
      steps: theirs.t.length,
      ...(eta !== undefined && { eta }),
      ...(variance && { variance }),
      ...(name === 'ddim' && { compat: 'diffusers' as const }),
    });
    const row = (rows: number[][], i: number): Float64Array => Float64Array.from(rows[i] as number[]);
    const ours = simulate(
      sampler,
      diffusion,
      (_, t) => row(theirs.predictions, theirs.t.indexOf(t)),
      Float64Array.from(theirs.xT),
      (i) => row(theirs.noises, i),
    );
    expect(ours.map(({ t }) => t)).toEqual(theirs.t);
    for (const [i, step] of ours.entries()) {
      expectAllClose(step.x0, theirs.x0[i] as number[], 1e-12);
      expectAllClose(step.x, theirs.x[i] as number[], 1e-12);
    }
  });

  test('cover clipping', () => {
    expect(trajectories.flatMap(({ x0 }) => x0.flat()).filter((x) => Math.abs(x) === 1).length).toBeGreaterThan(20);
  });
});
