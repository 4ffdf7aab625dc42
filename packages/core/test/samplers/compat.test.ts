import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { simulate } from '../../../testkit/src/simulate.ts';
import { scheduleFromDescription } from '../../src/checkpoint/schedule-config.ts';
import { schedulerFromDiffusers } from '../../src/checkpoint/scheduler-config.ts';
import { schedulerSampler } from '../../src/checkpoint/scheduler-sampler.ts';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import {
  createSampler,
  ddim,
  ddpm,
  dpmSolver,
  euler,
  heun,
  type Sampler,
  type SamplerName,
  samplers,
  unipc,
} from '../../src/samplers/index.ts';
import { createSchedule, linearSchedule } from '../../src/schedules/index.ts';

/** A run of one of diffusers' schedulers with given answers of the network, by diffusers-quirks.py. */
interface Trajectory {
  readonly steps: number;
  readonly options: { readonly eta?: number };
  readonly config: Readonly<Record<string, unknown>>;
  readonly xT: number[];
  readonly told: number[];
  readonly predictions: number[][];
  readonly noises: number[][];
  readonly x: number[][];
  /** Empty for the schedulers that do not tell. */
  readonly x0: number[][];
}

const script = fileURLToPath(new URL('./diffusers-quirks.py', import.meta.url));
const { cases } = JSON.parse(readFileSync(script.replace(/py$/, 'json'), 'utf8')) as { cases: Trajectory[] };

/** Largest difference over the largest number, at least 1. */
function distance(ours: ArrayLike<number>, theirs: readonly number[]): number {
  const scale = Math.max(1, ...theirs.map(Math.abs));
  return Math.max(...theirs.map((value, i) => Math.abs(value - (ours[i] as number)))) / scale;
}

function expectSame(theirs: Trajectory): void {
  const scheduler = schedulerFromDiffusers(theirs.config);
  const diffusion = gaussianDiffusion({
    schedule: scheduleFromDescription(scheduler.schedule),
    predict: scheduler.predict,
  });
  const sampler = schedulerSampler(scheduler, { steps: theirs.steps, compat: 'diffusers', ...theirs.options });
  const inSigma = !['ddpm', 'ddim'].includes(scheduler.sampler);
  const told = sampler.plan(diffusion).map((row) => row.told);
  // Some of diffusers' timesteps are float32.
  expect(distance(told, theirs.told)).toBeLessThan(1e-6);
  expect(told.length).toBe(theirs.told.length);

  const row = (rows: number[][], i: number): Float64Array => Float64Array.from(rows[i] as number[]);
  let asked = 0;
  const network = (): Float64Array => row(theirs.predictions, asked++);
  const noise = (i: number): Float64Array => row(theirs.noises, i);
  // Where diffusers keeps sigma and the sample in float32, what the network adds grows by up to the largest sigma.
  const tolerance = inSigma ? 2e-5 : 1e-10;
  for (const [i, step] of simulate(sampler, diffusion, network, Float64Array.from(theirs.xT), noise).entries()) {
    expect(distance(step.x, theirs.x[i] as number[]), `x after step ${i + 1}`).toBeLessThan(tolerance);
    if (theirs.x0.length > 0) expect(distance(step.x0, theirs.x0[i] as number[]), `x0 ${i}`).toBeLessThan(tolerance);
  }
}

/** What a configuration says besides its defaults, as the title of a test. */
function titleOf({ config, steps, options }: Trajectory): string {
  const keys = ['timestep_spacing', 'steps_offset', 'prediction_type', 'variance_type', 'algorithm_type'];
  const flags = ['use_karras_sigmas', 'thresholding', 'rescale_betas_zero_snr'].filter((key) => config[key] === true);
  const values = [...keys, 'final_sigmas_type', 'set_alpha_to_one'].map((key) => config[key]);
  const said = [config._class_name, steps, ...values, ...flags, JSON.stringify(options)];
  return said.filter((value) => value !== undefined && value !== null).join(' ');
}

describe("compat: 'diffusers' does what diffusers does", () => {
  test.each(cases.map((theirs) => [titleOf(theirs), theirs] as const))('%s', (_, theirs) => expectSame(theirs));

  test('live', async ({ skip }) => {
    const python = process.env.PYTHON ?? skip('PYTHON does not name an interpreter with diffusers');
    await promisify(execFile)(python, ['-c', 'import diffusers']).catch(() => skip('PYTHON has no diffusers'));
    const folder = await mkdtemp(join(tmpdir(), 'diffuse-quirks-'));
    try {
      await promisify(execFile)(python, [script, join(folder, 'live.json')]);
      const live = JSON.parse(await readFile(join(folder, 'live.json'), 'utf8')) as { cases: Trajectory[] };
      expect(live.cases.length).toBe(cases.length);
      for (const theirs of live.cases) expectSame(theirs);
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 120_000);
});

const diffusion = gaussianDiffusion({ schedule: linearSchedule() });

describe("compat: 'diffusers'", () => {
  test('of DDPM with a learned variance has none below 1e-20, and noise in a last step that is not timestep 0', () => {
    const options = { steps: 10, variance: 'learned-range', spacing: 'trailing' } as const;
    expect(ddpm(options).plan(diffusion).at(-1)).toMatchObject({ noise: 0, logVariance: undefined });
    const last = ddpm({ ...options, compat: 'diffusers' })
      .plan(diffusion)
      .at(-1);
    const beta = 1 - diffusion.alphaBarAt(99);
    expect(last).toMatchObject({ t: 99, noise: 1 });
    expect(last?.logVariance?.[0]).toBeCloseTo(Math.log(1e-20), 12);
    expect(last?.logVariance?.[1]).toBeCloseTo(Math.log(beta), 12);
  });

  test('takes the last steps of its own where an image is edited', () => {
    for (const [name, { options }] of Object.entries(samplers)) {
      if (!options.includes('compat') || name === 'heun') continue;
      const { plan } = createSampler(name as SamplerName, { steps: 8, spacing: 'linspace', compat: 'diffusers' });
      expect(plan(diffusion, { strength: 0.5 }).map(({ t }) => t)).toEqual(
        plan(diffusion)
          .slice(4)
          .map(({ t }) => t),
      );
    }
  });

  const atNoise = (predict: 'eps' | 'v') =>
    gaussianDiffusion({ schedule: createSchedule('linear', { zeroTerminalSnr: 1 }), predict });

  test.each<[string, () => unknown, RegExp]>([
    [
      'an unknown word',
      () => ddim({ steps: 5, compat: 'torch' as 'strict' }),
      /unknown compat 'torch'; known are: strict, diff/,
    ],
    [
      'an unknown quirk',
      () => euler({ steps: 5, compat: { offset: 1 } as object }),
      /compat has no option 'offset'; it has: steps/,
    ],
    ['an offset below 0', () => ddpm({ compat: { stepsOffset: -1 } }), /compat\.stepsOffset must be an integer from 0/],
    [
      'an unknown end',
      () => unipc({ steps: 5, compat: { finalSigma: 'none' as 'zero' } }),
      /unknown compat\.finalSigma 'none'; known are: zero, sigma-min/,
    ],
    [
      'fixed_large_log, which is NaN',
      () => ddpm({ variance: 'fixed-large', compat: { logVariance: true } }),
      /'fixed_large_log' ends in NaN in diffusers .*: take compat 'strict'/,
    ],
    ['churn', () => heun({ steps: 5, churn: 2, compat: 'diffusers' }), /churn of sampler 'heun' is 2; .* give 0/],
  ])('refuses %s', (_, make, message) => {
    expect(make).toThrow(message);
  });

  test.each<[string, Sampler, ReturnType<typeof atNoise>, RegExp]>([
    [
      'to leave the schedule',
      ddim({ steps: 1000, compat: { stepsOffset: 1 } }),
      diffusion,
      /diffusers begins at timestep 1000; the schedule ends at 999: take fewer steps/,
    ],
    [
      'to repeat a timestep',
      dpmSolver({ steps: 1000, spacing: 'linspace', compat: 'diffusers' }),
      diffusion,
      /diffusers repeats timestep \d+ at 1000 steps of 1000/,
    ],
    [
      'what diffusers has no word for',
      euler({ steps: 5, compat: 'diffusers' }),
      gaussianDiffusion({ schedule: linearSchedule(), predict: 'flow' }),
      /diffusers has no samplers for a network that predicts 'flow'/,
    ],
    [
      'the noise at pure noise',
      ddim({ steps: 5, spacing: 'trailing', compat: 'diffusers' }),
      atNoise('eps'),
      /'eps' does not determine 'x0' where alphaBar is 0/,
    ],
  ])('refuses %s', (_, sampler, over, message) => {
    expect(() => sampler.plan(over)).toThrow(message);
  });
});
