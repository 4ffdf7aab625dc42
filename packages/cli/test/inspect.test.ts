import { createSchedule, scheduleFromAlphaBars, scheduleFromBetas, schedules } from '@diffuse/core';
import { describe, expect, test } from 'vitest';
import { scheduleFacts, scheduleText } from '../src/inspect/schedule-report.ts';
import { jsonLines, run } from './helpers.ts';

const warningsOf = (name: string, options: Record<string, number> = {}): readonly string[] =>
  scheduleFacts(createSchedule(name, options)).warnings;

describe('inspect --schedule', () => {
  test('draws the curves and tells the levels', async () => {
    const { code, stdout, stderr } = await run('inspect', '--schedule', 'linear');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^schedule linear, 1000 timesteps \(betaStart 0\.0001, betaEnd 0\.02\)\n/);
    expect(stdout).toMatch(/^1\.00 \|\*+$/m);
    expect(stdout).toMatch(/^ 40 \|\*/m);
    expect(stdout).toMatch(/^-44 \| +\*+$/m);
    expect(stdout).toMatch(/^ +0 +0\.9999 +0\.01000 +40\.0$/m);
    expect(stdout).toMatch(/^499 +0\.07859 +3\.424 +-10\.7$/m);
    expect(stdout).toMatch(/^999 +0\.00004036 +157\.4 +-43\.9$/m);
    expect(stdout).not.toContain('warning');
  });

  test('shares near 1 and near 0 are told from 1 and 0', async () => {
    const { stdout } = await run('inspect', '--schedule', 'cosine');
    expect(stdout).toMatch(/^ +0 +0\.999959 +0\.006425 +43\.8$/m);
    expect(stdout).toMatch(/^999 +2\.429e-9 /m);
  });

  test('--json gives the same, with options', async () => {
    const args = ['--schedule=cosine', '--schedule-options=maxBeta=0.9,zeroTerminalSnr=1', '--timesteps=21', '--json'];
    const { stdout } = await run('inspect', ...args);
    const [line] = jsonLines(stdout);
    const { alphaBar, sigma } = createSchedule('cosine', { maxBeta: 0.9, zeroTerminalSnr: 1, steps: 21 });
    const levels = [0, 1, 2, 5, 10, 15, 18].map((t) => {
      const share = alphaBar[t] as number;
      return { t, alphaBar: share, sigma: sigma[t], snr: share / (1 - share) };
    });
    expect(line).toEqual({
      event: 'schedule',
      schedule: { name: 'cosine', steps: 21, s: 0.008, maxBeta: 0.9, zeroTerminalSnr: 1 },
      levels: [...levels, { t: 20, alphaBar: 0, sigma: null, snr: 0 }],
      warnings: [],
    });
  });

  test('pure noise is drawn at the bottom', async () => {
    const { stdout } = await run('inspect', '--schedule', 'karras', '--schedule-options', 'zeroTerminalSnr=1');
    expect(stdout).toMatch(/^<-120 \| +\*$/m);
    expect(stdout).toMatch(/^999 +0\.000 +Infinity +-Infinity$/m);
  });

  test('a single timestep and a million are schedules too', async () => {
    expect((await run('inspect', '--schedule', 'edm', '--timesteps', '1')).stdout).toContain('edm, 1 timestep (');
    const many = await run('inspect', '--schedule', 'log-linear', '--timesteps', '1000000');
    expect(many.stdout).toMatch(/^999999 +0\.009901 +10\.00 +-20\.0$/m);
  });
});

describe('warnings', () => {
  test.each(Object.keys(schedules))('%s has none, with its defaults or at zero terminal SNR', (name) => {
    expect(warningsOf(name)).toEqual([]);
    expect(warningsOf(name, { zeroTerminalSnr: 1 })).toEqual([]);
    // The bound is far from the schedules in use: they get to SNR 1 after at least a quarter of their timesteps.
    const { alphaBar } = createSchedule(name);
    const crossing = alphaBar.findIndex((value) => value < 0.5);
    expect(crossing).toBeGreaterThan(250);
    expect(crossing).toBeLessThan(850);
  });

  test.each([10, 20, 50, 100, 250, 1000, 2000])('nor have the usual ones with %i timesteps, at the start', (steps) => {
    for (const name of Object.keys(schedules)) {
      for (const zeroTerminalSnr of [0, 1]) {
        expect(warningsOf(name, { steps, zeroTerminalSnr }).filter((text) => text.includes('at the start'))).toEqual(
          [],
        );
      }
    }
  });

  test('first betas that are too large', () => {
    expect(warningsOf('linear', { betaStart: 0.02 })).toEqual([
      'the schedule destroys the image at the start: the signal-to-noise ratio is 0.05891, below 1, at timestep 142 of 1000 ' +
        'already; begin with less noise',
    ]);
    expect(warningsOf('linear', { betaStart: 0.003 })).toEqual([]);
  });

  test.each([0.02, 0.05, 0.1, 0.2, 0.3])('a thousand betas from %d on, whatever the last is', (betaStart) => {
    for (const betaEnd of [betaStart, 0.3, 0.5]) {
      for (const zeroTerminalSnr of [0, 1]) {
        const warnings = warningsOf('linear', { betaStart, betaEnd, zeroTerminalSnr });
        expect(warnings).toEqual([
          expect.stringMatching(/^the schedule destroys the image at the start: .*, below 1,/),
        ]);
      }
    }
  });

  test('few timesteps that begin large', () => {
    const begins = (steps: number, betaStart: number) =>
      warningsOf('linear', { steps, betaStart, betaEnd: 0.5 }).some((text) => text.includes('at the start'));
    expect([10, 20, 50, 100].map((steps) => begins(steps, 0.3))).toEqual([true, true, true, true]);
    expect([10, 20, 50, 100].map((steps) => begins(steps, 0.2))).toEqual([true, true, true, true]);
    expect([10, 20, 50, 100].map((steps) => begins(steps, 0.1))).toEqual([false, false, true, true]);
    expect([10, 20, 50, 100].map((steps) => begins(steps, 0.02))).toEqual([false, false, false, true]);
  });

  test('arrays that begin with a leap, also where the rest is small', () => {
    const rest = Array.from({ length: 999 }, (_, i) => 1e-4 + (0.02 * i) / 999);
    const warned = (...betas: number[]) => scheduleFacts(scheduleFromBetas(betas)).warnings;
    expect(warned(1e-4, ...rest)).toEqual([]);
    expect(warned(0.3, ...rest)).toEqual([
      'the schedule destroys the image at the start: the signal-to-noise ratio is 2.333, below 5, at the first timestep, from ' +
        'which sampling goes to the image in one step; begin with less noise',
    ]);
    expect(warned(0.6, ...rest)[0]).toContain('the signal-to-noise ratio is');
    expect(warned(0.9, ...rest)[0]).toMatch(/below 1, at timestep 142 of 1000 already/);
  });

  test('the warning stands below the curve of the ratio', async () => {
    const options = '--schedule-options=betaStart=0.1,betaEnd=0.3';
    const { code, stdout } = await run('inspect', '--schedule=linear', options, '--timesteps=100');
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nsignal-to-noise ratio in dB\n +10 \|\*/);
    expect(stdout).toMatch(/\nwarning: the schedule destroys the image at the start: .* at timestep 14 of 100 already/);
  });

  test('signal that is left at the end', () => {
    expect(warningsOf('linear', { steps: 100 })).toEqual([
      'the schedule keeps signal at the end: alphaBar is 0.3636, above 0.01, at the last timestep, but sampling starts from ' +
        'pure noise; end with more noise, or give zeroTerminalSnr=1',
    ]);
  });

  test('begin at the bounds that they name', () => {
    const warned = (...alphaBar: number[]): string[] =>
      scheduleFacts(scheduleFromAlphaBars(alphaBar)).warnings.map((warning) => warning.split(':')[0] as string);
    expect(warned(0.5, 0.01)).toEqual([]);
    expect(warned(0.499, 0.01)).toEqual(['the schedule destroys the image at the start']);
    expect(warned(0.5, 0.0101)).toEqual(['the schedule keeps signal at the end']);
    expect(warned(0.4, 0.3)).toHaveLength(2);
  });

  test('stand below the levels, one a line', () => {
    const text = scheduleText(createSchedule('linear', { steps: 10, betaStart: 0.6, betaEnd: 0.61 }), 'v', 40);
    expect(text).toMatch(/^schedule linear, 10 timesteps, predicts v \(betaStart 0\.6, betaEnd 0\.61\)\n/);
    expect(text).toMatch(/\n\nwarning: the schedule destroys [^\n]+$/);
  });
});
