import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { linearSchedule, type Schedule } from '@diffuse/core';
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, resultOf, run, temporaryFolder, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;
const steps = 40;
const linear: Schedule = linearSchedule({ steps });

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'));
  const files = {
    betas: { betas: Array.from(linear.beta) },
    bars: { alphaBars: Array.from(linear.alphaBar) },
    sigmas: { sigmas: Array.from(linear.sigma) },
    short: { betas: [0.1, 0.2, 0.3] },
    rising: { alphaBars: [0.5, 0.6] },
    two: { betas: [0.1], sigmas: [1] },
    words: { betas: ['a'] },
    none: { betas: [] },
    list: [0.1, 0.2],
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, `${name}.json`), JSON.stringify(content));
  }
  await writeFile(join(folder, 'torn.json'), '{ "betas": [0.1,');
});

const file = (name: string): string => join(folder, `${name}.json`);

const train = (out: string, ...flags: string[]) =>
  run('train', '--out', join(folder, out), '--quiet', '--cache-dir', join(folder, 'cache'), ...tinyModel, ...flags);

describe('--schedule FILE.json', () => {
  test('inspect shows the same levels in every view', async () => {
    // 1 - alphaBar, beside which the signal is seen, has lost digits where alphaBar is near 1.
    const tolerance = (4 * Number.EPSILON) / (linear.beta[0] as number);
    const levels = async (...flags: string[]) => {
      const { code, stdout } = await run('inspect', ...flags, '--json');
      expect(code).toBe(0);
      const [line] = jsonLines(stdout) as { schedule: unknown; levels: Record<string, number>[] }[];
      return line;
    };
    const named = await levels('--schedule=linear', `--timesteps=${steps}`);
    for (const view of ['betas', 'bars', 'sigmas']) {
      const own = await levels('--schedule', file(view));
      expect(own?.schedule).toEqual({ name: 'custom', steps });
      expect(own?.levels).toHaveLength(named?.levels.length ?? 0);
      own?.levels.forEach((level, i) => {
        for (const [name, value] of Object.entries(level)) {
          const expected = named?.levels[i]?.[name] as number;
          expect(Math.abs(value - expected)).toBeLessThanOrEqual(tolerance * Math.abs(expected));
        }
      });
    }
  });

  test('plot draws it beside those that have a name, which are as long', async () => {
    const out = join(folder, 'plot.svg');
    const { code, stderr } = await run('plot', 'schedule', '--schedule', `cosine,${file('betas')}`, '--out', out);
    expect([code, stderr]).toEqual([0, '']);
    const svg = await readFile(out, 'utf8');
    for (const text of ['>cosine<', '>betas<', `>${steps} timesteps<`]) expect(svg).toContain(text);
    expect((await run('plot', 'removed', '--schedule', file('short'), '--out', out)).code).toBe(0);
  });

  test('a run trains with it, keeps it, samples from it and resumes without the file', async () => {
    const data = ['--data', photos, '--predict=eps'];
    expect(await train('own', ...data, '--schedule', file('betas'), '--steps=4')).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(await train('named', ...data, '--schedule=linear', `--timesteps=${steps}`, '--steps=4')).toMatchObject({
      code: 0,
    });
    const [own, named] = [await resultOf(join(folder, 'own')), await resultOf(join(folder, 'named'))];
    expect(own['unet/diffusion_pytorch_model.safetensors']).toBe(named['unet/diffusion_pytorch_model.safetensors']);
    const config: { trained_betas: number[] } = JSON.parse(
      await readFile(join(folder, 'own/scheduler/scheduler_config.json'), 'utf8'),
    );
    expect(config.trained_betas).toEqual(Array.from(linear.beta));
    const { code } = await run('sample', '--model', join(folder, 'own'), '--out', join(folder, 'a.png'), '--steps=3');
    expect(code).toBe(0);
    // The schedule stands in config.yaml: nothing else is needed, nor may it change.
    expect(await train('own', '--resume', '--steps=6')).toMatchObject({ code: 0, stderr: '' });
    expect(await train('own', '--resume', '--steps=7', '--schedule', file('betas'))).toMatchObject({ code: 0 });
    const other = await train('own', '--resume', '--steps=8', '--schedule', file('short'));
    expect(other.stderr).toMatch(/^diffuse: --schedule cannot change when a run is resumed \(it was another, see /);
    expect(await train('named', '--resume', '--steps=5', '--schedule', file('short'))).toMatchObject({ code: 2 });
  });

  test('a configuration holds the numbers themselves', async () => {
    const config = join(folder, 'own.yaml');
    await writeFile(config, 'schedule:\n  alphaBars: [0.9, 0.5, 0.1]\n');
    expect((await train('yaml', '--data', photos, '--config', config, '--steps=1')).code).toBe(0);
    expect(await readFile(join(folder, 'yaml/config.yaml'), 'utf8')).toMatch(/timesteps: 3\n/);
  });

  test.each<[string, string, RegExp]>([
    ['inspect', '--schedule nowhere.json', /^--schedule: there is no file nowhere.json$/],
    ['inspect', '--schedule TORN', /^--schedule: .*torn.json is not valid JSON: /],
    ['inspect', '--schedule TWO', /^--schedule: .*two.json must hold an object with one of betas, alphaBars or sigmas/],
    ['inspect', '--schedule WORDS', /words.json must hold an object with one of betas, alphaBars or sigmas/],
    ['inspect', '--schedule NONE', /none.json must hold an object/],
    ['inspect', '--schedule LIST', /list.json must hold an object/],
    [
      'inspect',
      '--schedule RISING',
      /^alphaBar\[1\] of schedule 'custom' must be at least 0 and below the 0.5 before it/,
    ],
    [
      'inspect',
      '--schedule SHORT --timesteps 4',
      /^--timesteps is 4, but the schedule of the file has 3; leave --time/,
    ],
    [
      'inspect',
      '--schedule SHORT --schedule-options s=1',
      /^--schedule-options are for schedules that have a name; leav/,
    ],
    [
      'plot schedule',
      '--schedule SHORT,BETAS --out p.svg',
      /^--schedule: short has 3 timesteps and betas 40; one picture/,
    ],
    ['plot schedule', '--schedule SHORT,SHORT --out p.svg', /^--schedule must be one or several of linear, /],
    [
      'plot posterior',
      '--schedule linear,SHORT --out p.svg',
      /^plot posterior shows one schedule; got 2 in --schedule$/,
    ],
    [
      'train',
      '--schedule SHORT --timesteps 9 --out RUN --data PHOTOS',
      /^--timesteps is 9, but the schedule of the file/,
    ],
    ['train', '--schedule RISING --out RUN --data PHOTOS', /^alphaBar\[1\] of schedule 'custom' must be at least 0/],
  ])('%s refuses %s', async (command, flags, message) => {
    const given = flags.replace(/[A-Z]{3,}/g, (name) =>
      ['RUN', 'PHOTOS'].includes(name) ? join(folder, name.toLowerCase()) : file(name.toLowerCase()),
    );
    const { code, stderr } = await run(...command.split(' '), ...given.split(' '));
    expect(stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(stderr.slice('diffuse: '.length).trimEnd()).toMatch(message);
    expect(code).toBe(2);
  });
});
