import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRunFolder, writeRunFolder } from '../../src/checkpoint/run-folder.ts';
import {
  describeSchedule,
  type ScheduleDescription,
  scheduleFromDescription,
} from '../../src/checkpoint/schedule-config.ts';
import {
  type SchedulerDescription,
  schedulerFromDiffusers,
  schedulerToDiffusers,
} from '../../src/checkpoint/scheduler-config.ts';
import {
  createSchedule,
  linearSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
  scheduleFromBetas,
  scheduleFromSigmas,
  schedules,
} from '../../src/schedules/index.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder } from './folders.ts';

const plain = schedulerFromDiffusers({});
const configOf = (schedule: ScheduleDescription): Record<string, unknown> =>
  schedulerToDiffusers({ ...plain, schedule });
/** Through the text of a file and back. */
const throughFile = (config: Record<string, unknown>): ScheduleDescription =>
  schedulerFromDiffusers(JSON.parse(JSON.stringify(config))).schedule;
const shared = ['linear', 'scaled-linear', 'cosine', 'sigmoid'];

describe('a schedule in scheduler_config.json', () => {
  const cases = Object.keys(schedules).flatMap((name) => [
    [name, createSchedule(name, { steps: 30 })] as const,
    [`${name} at zero terminal SNR`, createSchedule(name, { steps: 30, zeroTerminalSnr: 1 })] as const,
  ]);

  test.each<readonly [string, Schedule]>([
    ...cases,
    ['cosine of another width', createSchedule('cosine', { s: 0.1, maxBeta: 0.99, steps: 30 })],
    ['betas of its own', scheduleFromBetas([0.1, 0.3, 0.2])],
    ['sigmas of its own, up to pure noise', scheduleFromSigmas([0.1, 3, Infinity])],
    ['a name that is not in the registry', scheduleFromBetas([0.1, 0.3], { name: 'mine', parameters: { a: 1 } })],
  ])('%s comes back', (_, schedule) => {
    const description = describeSchedule(schedule);
    const config = configOf(description);
    const found = throughFile(config);
    expect(found).toEqual(description);
    const again = scheduleFromDescription(found);
    expect(again.beta).toEqual(schedule.beta);
    if (found.name !== 'custom') expect(again).toEqual(schedule);
    expect(Object.keys(config)).toEqual(Object.keys(config).sort());
  });

  test.each(cases)('%s: diffusers gets what it can make, or else the betas', (_, schedule) => {
    const config = configOf(describeSchedule(schedule));
    if (shared.includes(schedule.name)) {
      expect(config.trained_betas).toBeNull();
      expect(config.rescale_betas_zero_snr).toBe('zeroTerminalSnr' in schedule.parameters);
      expect(config).not.toHaveProperty('_diffuse_schedule');
    } else {
      expect(config).toMatchObject({
        trained_betas: Array.from(schedule.beta),
        rescale_betas_zero_snr: false,
        num_train_timesteps: 30,
        _diffuse_schedule: { name: schedule.name, parameters: schedule.parameters },
      });
    }
  });

  test('any betas come back', () => {
    const list = fc.array(fc.double({ min: 1e-4, max: 0.9, noNaN: true }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(list, (betas) => {
        const description: ScheduleDescription = { name: 'custom', steps: betas.length, parameters: {}, betas };
        expect(throughFile(configOf(description))).toEqual(description);
      }),
    );
  });

  test('the betas decide: a name that does not make them is not believed', () => {
    const config = configOf(describeSchedule(createSchedule('karras', { steps: 4 })));
    const betas = config.trained_betas as number[];
    const changed = { ...config, trained_betas: [betas[0], betas[1], 0.5, betas[3]] };
    expect(throughFile(changed)).toMatchObject({ name: 'custom', betas: changed.trained_betas });
    for (const hint of [null, 'karras', { name: 'none', parameters: {} }, { name: 'edm', parameters: { mean: 'x' } }]) {
      expect(throughFile({ ...config, _diffuse_schedule: hint })).toMatchObject({ name: 'custom', betas });
    }
  });

  test('betas of others may be moved to zero terminal SNR', () => {
    const betas = Array.from(linearSchedule({ steps: 20 }).beta);
    const found = schedulerFromDiffusers({
      trained_betas: betas,
      num_train_timesteps: 20,
      rescale_betas_zero_snr: true,
    }).schedule;
    const expected = rescaleZeroTerminalSnr(linearSchedule({ steps: 20 }));
    expect(found).toEqual({ name: 'custom', steps: 20, parameters: {}, betas: Array.from(expected.beta) });
    expect(scheduleFromDescription(found).alphaBar[19]).toBe(0);
  });

  test('a list of betas may be longer than other configurations', async () => {
    const { model } = await readRunFolder(golden('unet-ddpm-tiny'));
    const folder = join(await scratchFolder(), 'long');
    const schedule = describeSchedule(createSchedule('log-linear', { steps: 100_000 }));
    const { weightsPath } = await writeRunFolder(folder, { model, scheduler: { ...plain, schedule } });
    await writeFile(weightsPath, '');
    const path = join(folder, 'scheduler', 'scheduler_config.json');
    expect((await readFile(path)).length).toBeGreaterThan(2 ** 20);
    expect((await readRunFolder(folder)).scheduler?.schedule).toEqual(schedule);
  });
});

describe('variances and predictions', () => {
  test.each([
    ['fixed_small', 'fixed-small'],
    ['fixed_small_log', 'fixed-small'],
    ['fixed_large', 'fixed-large'],
    ['fixed_large_log', 'fixed-large'],
    ['learned_range', 'learned-range'],
  ])('variance_type %s means %s', (theirs, ours) => {
    expect(schedulerFromDiffusers({ variance_type: theirs }).variance).toBe(ours);
  });

  test('are written in the words of diffusers where it has them', () => {
    const written = (change: Partial<SchedulerDescription>): unknown => schedulerToDiffusers({ ...plain, ...change });
    expect(written({ variance: 'learned-range' })).toMatchObject({ variance_type: 'learned_range' });
    expect(written({ predict: 'v' })).toMatchObject({ prediction_type: 'v_prediction' });
  });
});

test('a scheduler that is not a schedule is refused with the field', async () => {
  const description = { ...plain, schedule: { name: 'edm', steps: 10, parameters: { mean: 99 } } } as const;
  const failure = await failureOf(() => schedulerToDiffusers(description));
  expectDiffuseError(failure, 'ERR_ARGUMENT', /mean of schedule 'edm' must be a number from -20 to 20, got 99/);
});

test('diffusers in Python makes the same schedules', async ({ skip }) => {
  const python = process.env.PYTHON ?? skip('PYTHON does not name an interpreter with diffusers');
  await promisify(execFile)(python, ['-c', 'import diffusers']).catch(() => skip('PYTHON has no diffusers'));
  const made = [
    ...Object.keys(schedules).map((name) => createSchedule(name)),
    ...shared.map((name) => createSchedule(name, { zeroTerminalSnr: 1 })),
    scheduleFromBetas([0.1, 0.3, 0.2]),
  ];
  const path = join(await scratchFolder(), 'schedules.json');
  const cases = made.map((schedule) => ({
    config: configOf(describeSchedule(schedule)),
    alphaBar: Array.from(schedule.alphaBar),
  }));
  await writeFile(path, JSON.stringify(cases));
  const script = [
    'import json, sys, torch',
    'from diffusers import DDPMScheduler',
    'for case in json.load(open(sys.argv[1])):',
    '    theirs = DDPMScheduler.from_config(case["config"]).alphas_cumprod',
    '    error = (theirs.double() - torch.tensor(case["alphaBar"], dtype=torch.float64)).abs().max().item()',
    '    assert error < 2e-6, (case["config"], error)',
    'print("same")',
  ].join('\n');
  const { stdout } = await promisify(execFile)(python, ['-c', script, path]);
  expect(stdout.trim()).toBe('same');
});
