import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readJson } from '../../src/checkpoint/json-file.ts';
import { type SchedulerSampler, schedulerClasses } from '../../src/checkpoint/scheduler-classes.ts';
import {
  type SchedulerDescription,
  schedulerFromDiffusers,
  schedulerToDiffusers,
} from '../../src/checkpoint/scheduler-config.ts';
import {
  type SchedulerSamplerOptions,
  schedulerQuirks,
  schedulerSampler,
} from '../../src/checkpoint/scheduler-sampler.ts';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import type { SamplerStep } from '../../src/samplers/index.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { expectDiffuseError, failureOf, scratchFolder } from './folders.ts';

const samplers = Object.keys(schedulerClasses) as SchedulerSampler[];
const throughFile = (description: SchedulerDescription): SchedulerDescription =>
  schedulerFromDiffusers(JSON.parse(JSON.stringify(schedulerToDiffusers(description))));

/** Descriptions of a class, with everything that its files can say. */
function descriptionsOf(sampler: SchedulerSampler): fc.Arbitrary<SchedulerDescription> {
  const { keys, schedules } = schedulerClasses[sampler];
  const has = (key: string): boolean => Object.hasOwn(keys, key);
  const clips = [
    fc.constant(Infinity),
    ...(has('clip_sample') ? [fc.double({ min: 0.1, max: 10, noNaN: true })] : []),
    ...(has('thresholding')
      ? [
          fc.record({
            quantile: fc.double({ min: 0, max: 1, noNaN: true }),
            max: fc.constantFrom(1, 2.5, Infinity),
          }),
        ]
      : []),
  ];
  const variances =
    sampler === 'ddpm'
      ? (['fixed-small', 'fixed-large', 'learned-range'] as const)
      : has('variance_type')
        ? (['fixed-small', 'learned-range'] as const)
        : (['fixed-small'] as const);
  const parameters = has('rescale_betas_zero_snr') ? fc.constantFrom({}, { zeroTerminalSnr: 1 }) : fc.constant({});
  const schedule = fc
    .tuple(fc.constantFrom(...schedules, 'sigmoid'), fc.integer({ min: 2, max: 50 }), parameters)
    .map(([name, steps, more]) => ({
      name: name as 'linear',
      steps,
      parameters: {
        ...(name === 'cosine' ? { s: 0.008, maxBeta: 0.999 } : { betaStart: 0.001, betaEnd: 0.2 }),
        ...more,
      },
    }));
  return fc
    .record({
      schedule,
      predict: fc.constantFrom('eps' as const, 'x0' as const, 'v' as const, 'flow' as const),
      variance: fc.constantFrom(...variances),
      clip: fc.oneof(...clips),
      spacing: fc.constantFrom('leading' as const, 'trailing' as const, 'linspace' as const),
      stepsOffset: fc.integer({ min: 0, max: 3 }),
      setAlphaToOne: has('set_alpha_to_one') ? fc.boolean() : fc.constant(true),
      end: has('final_sigmas_type') ? fc.boolean() : fc.constant(false),
      karras: has('use_karras_sigmas') ? fc.boolean() : fc.constant(false),
      log: fc.boolean(),
    })
    .map(({ end, karras, log, ...rest }) => ({
      sampler,
      ...rest,
      ...(end && !(karras && sampler === 'unipc') && { finalSigma: 'sigma-min' as const }),
      ...(karras && { karras: true as const }),
      ...(log && sampler === 'ddpm' && rest.variance !== 'learned-range' && { logVariance: true as const }),
    }));
}

describe.each(samplers)('a configuration of %s', (sampler) => {
  test('comes back, whatever it says', () => {
    fc.assert(
      fc.property(descriptionsOf(sampler), (description) => {
        expect(throughFile(description)).toEqual(description);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  test('has the defaults of its class, and leaves the keys of other classes alone', () => {
    const { name, keys } = schedulerClasses[sampler];
    const algorithm = 'algorithm_type' in keys ? { algorithm_type: keys.algorithm_type } : {};
    const plain = schedulerFromDiffusers({ _class_name: name, ...algorithm });
    expect(plain.sampler).toBe(sampler);
    expect(plain.spacing).toBe(['ddpm', 'ddim'].includes(sampler) ? 'leading' : 'linspace');
    expect(plain.clip).toBe(['ddpm', 'ddim'].includes(sampler) ? 1 : Infinity);
    expect(plain.schedule.parameters.betaEnd).toBe(sampler === 'heun' ? 0.012 : 0.02);
    const others = samplers.flatMap((other) => {
      const { keys: theirs, fixed } = schedulerClasses[other];
      return Object.keys({ ...theirs, ...fixed });
    });
    const { fixed } = schedulerClasses[sampler];
    const foreign = others.filter((key) => !(key in keys || key in fixed || key === 'rescale_betas_zero_snr'));
    const strange = Object.fromEntries(foreign.map((key) => [key, 'something']));
    expect(schedulerFromDiffusers({ _class_name: name, ...algorithm, ...strange })).toEqual(plain);
  });

  test('stands for its sampler', () => {
    const { name, keys } = schedulerClasses[sampler];
    const algorithm = 'algorithm_type' in keys ? { algorithm_type: keys.algorithm_type } : {};
    const description = schedulerFromDiffusers({ _class_name: name, steps_offset: 1, ...algorithm });
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    for (const compat of ['strict', 'diffusers'] as const) {
      const made = schedulerSampler({ ...description, spacing: 'leading' }, { steps: 10, compat });
      expect(made.name).toBe(sampler);
      const offset = (made.plan(diffusion)[0]?.t as number) % 10;
      expect(offset).toBe(compat === 'diffusers' ? 1 : 0);
    }
    expect(schedulerQuirks(description)).toMatchObject({ stepsOffset: 1, finalSigma: 'zero', karras: false });
  });
});

test('a sampler of another class takes what its class would read', () => {
  const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
  const scheduler = schedulerFromDiffusers({ steps_offset: 1, timestep_spacing: 'leading' });
  const first = (options: Partial<SchedulerSamplerOptions>): Partial<SamplerStep> =>
    schedulerSampler(scheduler, { steps: 10, compat: 'diffusers', ...options }).plan(diffusion)[0] as SamplerStep;
  expect(first({ sampler: 'ddim' })).toMatchObject({ t: 901, clip: 1 });
  expect(first({ sampler: 'heun' })).toMatchObject({ t: 901, clip: 1 });
  expect(first({ sampler: 'euler' })).toMatchObject({ t: 901, clip: Infinity });
  expect(first({ sampler: 'euler', clip: 2, spacing: 'trailing' })).toMatchObject({ t: 999, clip: 2 });
  expect(first({ sampler: 'momentum', compat: 'strict' })).toMatchObject({ t: 900, clip: 1 });
  expect(() => first({ sampler: 'momentum' })).toThrow("sampler 'momentum' has no option 'compat'");
});

describe('one clear line', () => {
  test.each<[Record<string, unknown>, RegExp]>([
    [{ _class_name: 'PNDMScheduler' }, /_class_name is 'PNDMScheduler'; expected "DDPMScheduler" or .* or "UniPC/],
    [{ thresholding: 1 }, /thresholding is 1; expected true or false/],
    [{ thresholding: true, sample_max_value: 0.5 }, /sample_max_value is 0\.5; expected a number, at least 1, or null/],
    [
      { thresholding: true, dynamic_thresholding_ratio: 2 },
      /dynamic_thresholding_ratio is 2; expected a number from 0/,
    ],
    [
      { _class_name: 'EulerDiscreteScheduler', use_exponential_sigmas: true },
      /use_exponential_sigmas is true; of EulerDiscreteScheduler diffuse has false alone/,
    ],
    [
      { _class_name: 'EulerDiscreteScheduler', interpolation_type: 'log_linear' },
      /interpolation_type is 'log_linear'; of EulerDiscreteScheduler diffuse has 'linear' alone/,
    ],
    [
      { _class_name: 'DPMSolverMultistepScheduler', solver_order: 3 },
      /solver_order is 3; of DPMSolverMultistepScheduler diffuse has 2 alone/,
    ],
    [
      { _class_name: 'DPMSolverMultistepScheduler', algorithm_type: 'dpmsolver' },
      /algorithm_type is 'dpmsolver'; expected "dpmsolver\+\+" or "sde-dpmsolver\+\+"/,
    ],
    [
      { _class_name: 'DPMSolverMultistepScheduler', lambda_min_clipped: -5.1 },
      /lambda_min_clipped is -5\.1; of DPMSolverMultistepScheduler diffuse has null alone/,
    ],
    [
      { _class_name: 'DPMSolverMultistepScheduler', variance_type: 'learned' },
      /variance_type is 'learned'; expected "fixed_small" or/,
    ],
    [
      { _class_name: 'UniPCMultistepScheduler', disable_corrector: [0] },
      /disable_corrector is \[ 0 \]; of UniPCMultistepScheduler diffuse has \[\] alone/,
    ],
    [
      { _class_name: 'UniPCMultistepScheduler', use_karras_sigmas: true, final_sigmas_type: 'sigma_min' },
      /final_sigmas_type is "sigma_min" with use_karras_sigmas/,
    ],
    [{ _class_name: 'HeunDiscreteScheduler', final_sigmas_type: 1, beta_schedule: 'exp' }, /beta_schedule is 'exp'/],
    [{ some_new_key: 3 }, /some_new_key is 3; diffuse does not know this key/],
  ])('for %j', async (json, message) => {
    const failure = await failureOf(() => schedulerFromDiffusers(json, 's.json'));
    expectDiffuseError(failure, 'ERR_CHECKPOINT', /^s\.json: [^\n]*$/, message);
  });

  const plain = schedulerFromDiffusers({});
  test.each<[Partial<SchedulerDescription>, RegExp]>([
    [{ sampler: 'momentum' as SchedulerSampler }, /sampler is 'momentum'; expected ddpm or ddim or euler/],
    [{ sampler: 'euler' }, /clip is 1; expected Infinity, EulerDiscreteScheduler does not clip/],
    [{ sampler: 'heun', clip: { quantile: 0.9 } }, /HeunDiscreteScheduler has no dynamic thresholding/],
    [{ clip: { quantile: 1.5 } }, /clip\.quantile is 1\.5; expected a number from 0 to 1/],
    [{ clip: { quantile: 0.5, max: 0.5 } }, /clip\.max is 0\.5; expected a number, at least 1/],
    [
      { sampler: 'heun', schedule: { name: 'linear', steps: 9, parameters: { zeroTerminalSnr: 1 } } },
      /zeroTerminalSnr is 1; expected 0, HeunDiscreteScheduler has no counterpart/,
    ],
  ])('for the description %j', async (change, message) => {
    const failure = await failureOf(() => schedulerToDiffusers({ ...plain, ...change }));
    expectDiffuseError(failure, 'ERR_ARGUMENT', message);
  });
});

test('a file may have the numbers that Python writes and JSON has not', async () => {
  const path = join(await scratchFolder(), 'config.json');
  await writeFile(path, '{"lambda_min_clipped": -Infinity, "a": NaN , "b": "x", "sample_max_value":Infinity}');
  expect(await readJson(path)).toEqual({ lambda_min_clipped: null, a: null, b: 'x', sample_max_value: null });
  await writeFile(path, '{"a": -Infinite}');
  expectDiffuseError(await failureOf(() => readJson(path)), 'ERR_CHECKPOINT', /config\.json is not JSON/);
});

test('diffusers in Python reads what diffuse writes and writes what diffuse reads', async ({ skip }) => {
  const python = process.env.PYTHON ?? skip('PYTHON does not name an interpreter with diffusers');
  await promisify(execFile)(python, ['-c', 'import diffusers']).catch(() => skip('PYTHON has no diffusers'));
  const folder = await scratchFolder();
  const descriptions = samplers.flatMap((sampler) => fc.sample(descriptionsOf(sampler), { numRuns: 8, seed: 3 }));
  // 'flow' is a word of ours, and diffusers refuses it when it is asked to sample.
  const known = descriptions.map((description) => ({ ...description, predict: 'eps' as const }));
  await writeFile(join(folder, 'ours.json'), JSON.stringify(known.map(schedulerToDiffusers)));
  const script = [
    'import json, sys, diffusers',
    'theirs = []',
    'for config in json.load(open(sys.argv[1] + "/ours.json")):',
    '    made = getattr(diffusers, config["_class_name"]).from_config(config)',
    '    for key, value in config.items():',
    '        if not key.startswith("_"): assert made.config[key] == value, (key, value, made.config[key])',
    '    theirs.append(made.to_json_string())',
    'open(sys.argv[1] + "/theirs.json", "w").write("{\\"all\\": [%s]}" % ",".join(theirs))',
    'print(len(theirs))',
  ].join('\n');
  const { stdout } = await promisify(execFile)(python, ['-c', script, folder]);
  expect(Number(stdout)).toBe(known.length);
  const { all } = (await readJson(join(folder, 'theirs.json'))) as { all: unknown[] };
  expect(all.map((json) => schedulerFromDiffusers(json))).toEqual(known);
  expect(await readFile(join(folder, 'theirs.json'), 'utf8')).toContain('-Infinity');
}, 120_000);
