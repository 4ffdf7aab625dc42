import { describe, expect, test } from 'vitest';
import { simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type TargetName } from '../../src/diffusion/index.ts';
import {
  dpmSolverSde,
  eulerAncestral,
  heun,
  momentum,
  type Sampler,
  spacedTimesteps,
  unipc,
} from '../../src/samplers/index.ts';
import { cosineSchedule, linearSchedule, type Schedule, sigmaAt } from '../../src/schedules/index.ts';
import { normals } from '../random/normal.ts';
import { expectClose } from '../schedules/close.ts';
import { mixtureDenoiser, mixtureMean } from './mixture.ts';
import {
  type Denoise,
  dpmSolverSdeLoop,
  eulerAncestralLoop,
  heunLoop,
  momentumLoop,
  type Noise,
  type Start,
  unipcLoop,
} from './reference-loops.ts';

/** Two narrow modes and a wide one: a denoiser far from linear, on which every slip of a coefficient shows. */
const data = [
  { share: 0.3, mean: -0.8, std: 0.1 },
  { share: 0.2, mean: 0.2, std: 0.5 },
  { share: 0.5, mean: 0.7, std: 0.15 },
];

type Loop = (denoise: Denoise, start: Start, noise: Noise) => number;

const steps = 18;
const options = { steps, clip: Infinity } as const;
const churned = { churn: 5, churnMin: 0.05, churnMax: 50, churnNoise: 1.003 };
const much = { ...churned, churn: 40 };

const cases: [string, Sampler, Loop][] = [
  ['heun', heun(options), (denoise, start, noise) => heunLoop(denoise, start, {}, noise)],
  ['heun, churn 5', heun({ ...options, ...churned }), (d, start, noise) => heunLoop(d, start, churned, noise)],
  ['heun, churn 40', heun({ ...options, ...much }), (d, start, noise) => heunLoop(d, start, much, noise)],
  ...[0.5, 1].flatMap((eta): [string, Sampler, Loop][] => [
    [
      `euler-ancestral, eta ${eta}`,
      eulerAncestral({ ...options, eta, spacing: 'karras' }),
      (denoise, start, noise) => eulerAncestralLoop(denoise, start, eta, noise),
    ],
    [
      `dpm++2m-sde, eta ${eta}`,
      dpmSolverSde({ ...options, eta }),
      (denoise, start, noise) => dpmSolverSdeLoop(denoise, start, eta, noise),
    ],
  ]),
  ['unipc', unipc({ ...options, spacing: 'karras' }), unipcLoop],
  ...[
    { gam: 2, mu: 0 },
    { gam: 1, mu: 0.5 },
    { gam: 1.6, mu: 0.3 },
  ].map((family): [string, Sampler, Loop] => [
    `momentum, gam ${family.gam}, mu ${family.mu}`,
    momentum({ ...options, ...family }),
    (denoise, start, noise) => momentumLoop(denoise, start, family, noise),
  ]),
];

/** Where a network was asked: x in the view x0 + sigma eps, and sigma. */
interface Question {
  readonly x: number;
  readonly sigma: number;
}

/** What a sampler asks the exact network, from the first question to the sample, with the fresh noise of `noise`. */
function asked(sampler: Sampler, schedule: Schedule, predict: TargetName, xT: number, noise: Noise): Question[] {
  const diffusion = gaussianDiffusion({ schedule, predict });
  const exact = mixtureDenoiser(data, diffusion);
  const questions: Question[] = [];
  const denoiser = (xt: Float64Array, t: number): Float64Array => {
    questions.push({ x: (xt[0] as number) / Math.sqrt(diffusion.alphaBarAt(t)), sigma: sigmaAt(schedule, t) });
    return exact(xt, t);
  };
  const trajectory = simulate(sampler, diffusion, denoiser, Float64Array.of(xT), () => Float64Array.of(noise()));
  return [...questions, { x: trajectory.at(-1)?.x[0] as number, sigma: 0 }];
}

/** What a loop of the papers asks, over the same noise levels, from the same x. */
function askedByLoop(loop: Loop, schedule: Schedule, xT: number, noise: Noise): Question[] {
  const sigmas = [...spacedTimesteps('karras', schedule, steps).map((t) => sigmaAt(schedule, t)), 0];
  const x = xT * Math.sqrt(1 + (sigmas[0] as number) ** 2);
  const questions: Question[] = [];
  const denoise = (at: number, sigma: number): number => {
    questions.push({ x: at, sigma });
    return mixtureMean(data, at, sigma);
  };
  const end = loop(denoise, { sigmas, x }, noise);
  return [...questions, { x: end, sigma: 0 }];
}

describe('the tables do what the loops of the papers do, question by question', () => {
  const stream = (seed: number): Noise => {
    const values = normals(seed, 64);
    let next = 0;
    return () => values[next++] as number;
  };

  test.each(cases)('%s', (_, sampler, loop) => {
    for (const schedule of [linearSchedule(), cosineSchedule()]) {
      for (const predict of ['x0', 'eps', 'v'] as const) {
        for (const [seed, xT] of normals(1, 6).entries()) {
          const ours = asked(sampler, schedule, predict, xT, stream(seed));
          const theirs = askedByLoop(loop, schedule, xT, stream(seed));
          expect(ours.length).toBe(theirs.length);
          for (const [i, { x, sigma }] of theirs.entries()) {
            expectClose(ours[i]?.sigma, sigma, 1e-12);
            // x is the data and the noise in it; where they cancel, the rounding of both is left.
            expectClose(ours[i]?.x, x, 1e-12, Math.max(1, sigma));
          }
        }
      }
    }
  });
});
