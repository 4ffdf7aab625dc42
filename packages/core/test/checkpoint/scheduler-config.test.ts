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
import { type TargetName, targets } from '../../src/diffusion/targets.ts';
import type { SamplerStep } from '../../src/samplers/index.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder } from './folders.ts';

const samplers = Object.keys(schedulerClasses) as SchedulerSampler[];
const fileOf = async (pipeline: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(golden(pipeline, 'scheduler', 'scheduler_config.json'), 'utf8'));
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
  const rescaled = has('rescale_betas_zero_snr') ? fc.constantFrom({}, { zeroTerminalSnr: 1 }) : fc.constant({});
  const probability = fc.double({ min: 1e-6, max: 1, noNaN: true });
  const betas = fc
    .tuple(probability, probability)
    .map(([a, b]) => ({ betaStart: Math.min(a, b), betaEnd: Math.max(a, b) }));
  // A class that cannot make a sigmoid gets its betas, which must then be those of a schedule.
  const usual = fc.constant({ betaStart: 0.001, betaEnd: 0.2 });
  const schedule = fc.constantFrom(...schedules, 'sigmoid').chain((name) => {
    const isWritten = (schedules as readonly string[]).includes(name);
    const own = name === 'cosine' ? fc.constant({ s: 0.008, maxBeta: 0.999 }) : isWritten ? betas : usual;
    return fc.record({
      name: fc.constant(name as 'linear'),
      steps: fc.integer({ min: 2, max: isWritten ? 4000 : 50 }),
      parameters: fc.tuple(own, rescaled).map(([parameters, more]) => ({ ...parameters, ...more })),
    });
  });
  return fc
    .record({
      schedule,
      predict: fc.constantFrom(...(Object.keys(targets) as TargetName[])),
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

describe('scheduler_config.json', () => {
  test.each(['unet-ddpm-tiny', 'unet-heads-tiny'])('%s comes back key for key', async (name) => {
    const json = await fileOf(name);
    const written = schedulerToDiffusers(schedulerFromDiffusers(json));
    expect({ ...written, _diffusers_version: json._diffusers_version }).toEqual(json);
    expect(Object.keys(written)).toEqual(Object.keys(json));
  });

  test('says in our words what the file says in theirs', async () => {
    expect(schedulerFromDiffusers(await fileOf('unet-heads-tiny'))).toEqual({
      sampler: 'ddpm',
      schedule: { name: 'cosine', steps: 1000, parameters: { s: 0.008, maxBeta: 0.999 } },
      predict: 'v',
      variance: 'fixed-small',
      clip: 1,
      spacing: 'leading',
      stepsOffset: 0,
      setAlphaToOne: true,
    });
    expect(schedulerFromDiffusers({})).toEqual({
      sampler: 'ddpm',
      schedule: { name: 'linear', steps: 1000, parameters: { betaStart: 1e-4, betaEnd: 0.02 } },
      predict: 'eps',
      variance: 'fixed-small',
      clip: 1,
      spacing: 'leading',
      stepsOffset: 0,
      setAlphaToOne: true,
    });
    const ddim = {
      _class_name: 'DDIMScheduler',
      clip_sample: false,
      set_alpha_to_one: false,
      variance_type: 'fixed_large',
    };
    const expected = { sampler: 'ddim', clip: Infinity, setAlphaToOne: false, variance: 'fixed-small' };
    expect(schedulerFromDiffusers(ddim)).toMatchObject(expected);
    expect(schedulerFromDiffusers({ predict_epsilon: false, tensor_format: 'pt' }).predict).toBe('x0');
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ thresholding: null }, /thresholding is null; expected true or false/],
    [{ trained_betas: [0.1] }, /trained_betas has 1 entries; expected 1000, which is num_train_timesteps/],
    [{ trained_betas: [0] }, /trained_betas is \[ 0 \]; expected null or a list of numbers above 0 and at most 1/],
    [{ trained_betas: 'linear' }, /trained_betas is 'linear'; expected null or a list of numbers/],
    [
      { trained_betas: [1, 0.5], num_train_timesteps: 2 },
      /trained_betas make no schedule: schedule 'custom' adds no noise at timestep 1: no signal is left before it/,
    ],
    [{ rescale_betas_zero_snr: 1 }, /rescale_betas_zero_snr is 1; expected true or false/],
    [
      { rescale_betas_zero_snr: true, num_train_timesteps: 1 },
      /rescale_betas_zero_snr is true; expected false where there is one timestep/,
    ],
    [{ variance_type: 'learned' }, /variance_type is 'learned'; expected "fixed_small" or .* or "learned_range"/],
    [{ beta_schedule: 'laplace' }, /beta_schedule is 'laplace'; expected "linear" or "scaled_linear" or/],
    [{ prediction_type: 'noise' }, /prediction_type is 'noise'; expected "epsilon" or "sample" or "v_prediction"/],
    [{ beta_start: 0 }, /beta_start is 0; expected a number above 0/],
    [{ beta_start: 0.1 }, /beta_start is 0\.1; expected at most beta_end, 0\.02/],
    [{ num_train_timesteps: 0 }, /num_train_timesteps is 0; expected an integer/],
    [{ clip_sample_range: 0 }, /clip_sample_range is 0; expected a number above 0/],
    [{ timestep_spacing: 'quadratic' }, /timestep_spacing is 'quadratic'; expected "leading"/],
    [{ steps_offset: -1 }, /steps_offset is -1; expected an integer/],
    [{ _class_name: 'PNDMScheduler' }, /_class_name is 'PNDMScheduler'; expected "DDPMScheduler" or "DDIMScheduler"/],
    [{ use_other_sigmas: true }, /use_other_sigmas is true; diffuse does not know this key/],
  ])('refuses %j', async (json, message) => {
    const failure = await failureOf(() => schedulerFromDiffusers(json, 's.json'));
    expectDiffuseError(failure, 'ERR_CHECKPOINT', /^s\.json: /, message);
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ schedule: { name: 'laplace', steps: 10, parameters: {} } }, /unknown schedule 'laplace'; known are: linear/],
    [
      { schedule: { name: 'linear', steps: 10, parameters: { s: 0.1 } } },
      /schedule 'linear' has no option 's'; it has: steps, betaStart, betaEnd/,
    ],
    [{ schedule: { name: 'linear', steps: 0, parameters: {} } }, /schedule\.steps is 0; expected an integer/],
    [
      { schedule: { name: 'linear', steps: 9, parameters: { betaEnd: 2 } } },
      /schedule\.parameters\.betaEnd is 2; expected a number above 0 and at most 1/,
    ],
    [
      { schedule: { name: 'custom', steps: 3, parameters: {}, betas: [0.1] } },
      /must have one beta a timestep, got 1 betas for 3 timesteps/,
    ],
    [{ predict: 'noise' }, /predict is 'noise'; expected eps or x0 or v/],
    [{ variance: 'learned' }, /variance is 'learned'; expected fixed-small or fixed-large or learned-range/],
    [{ spacing: 'quadratic' }, /spacing is 'quadratic'; expected "leading"/],
    [{ clip: -1 }, /clip is -1; expected a number above 0/],
  ])('has no words for %j', async (change, message) => {
    const description = { ...schedulerFromDiffusers({}), ...change } as SchedulerDescription;
    expectDiffuseError(await failureOf(() => schedulerToDiffusers(description)), 'ERR_ARGUMENT', message);
  });
});
