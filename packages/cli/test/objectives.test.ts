import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { resolveSettings } from '../src/settings/resolve.ts';
import { jsonLines, resultOf, run, temporaryFolder, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'));
});

const train = (out: string, ...flags: string[]): ReturnType<typeof run> =>
  run(
    'train',
    '--out',
    join(folder, out),
    '--data',
    photos,
    '--cache-dir',
    join(folder, 'cache'),
    ...tinyModel,
    ...flags,
  );
const json = async (...path: string[]): Promise<unknown> => JSON.parse(await readFile(join(folder, ...path), 'utf8'));

/** Few timesteps, so that each soon has the losses that it is drawn by. */
const objectives = ['--variance=learned', '--self-conditioning', '--timestep-sampling=loss-aware', '--timesteps=3'];

describe('a run with a learned variance, self-conditioning and loss-aware timesteps', () => {
  test('reports the bound, and writes what diffusers calls learned_range', async () => {
    const { code, stderr } = await train('whole', ...objectives, '--steps=12');
    expect(code, stderr).toBe(0);
    for (const line of jsonLines(await readFile(join(folder, 'whole/metrics.jsonl'), 'utf8'))) {
      expect(line.bound).toBeGreaterThan(0);
    }
    expect(await json('whole/scheduler/scheduler_config.json')).toMatchObject({ variance_type: 'learned_range' });
    expect(await json('whole/unet/config.json')).toMatchObject({
      in_channels: 2,
      out_channels: 2,
      _self_conditioning: true,
    });
  });

  test('is the same when it is resumed, whatever the threads', async () => {
    expect((await train('parts', ...objectives, '--steps=7', '--threads=1')).code).toBe(0);
    const { code } = await run('train', '--resume', '--out', join(folder, 'parts'), '--steps=12', '--threads=2');
    expect(code).toBe(0);
    expect(await resultOf(join(folder, 'parts'))).toEqual(await resultOf(join(folder, 'whole')));
  });

  test('is inspected and evaluated', async () => {
    const folderOf = join(folder, 'whole');
    const inspected = await run('inspect', folderOf);
    expect(inspected.code, inspected.stderr).toBe(0);
    const flags = ['--model', folderOf, '--data', photos, '--cache-dir', join(folder, 'cache'), '--metrics', 'bpd'];
    const { code, stdout, stderr } = await run('evaluate', ...flags);
    expect(code, stderr).toBe(0);
    expect(stdout + stderr).toMatch(/bits\/dim +at most \d/);
  });

  test('draws without further flags, by ddim and by ddpm', async () => {
    for (const sampler of ['ddim', 'ddpm']) {
      const out = join(folder, `${sampler}.png`);
      const flags = ['--model', join(folder, 'whole'), '--out', out, '-n', '2', '--sampler', sampler];
      expect((await run('sample', ...flags)).stderr).not.toContain('diffuse:');
      expect((await readFile(out)).length).toBeGreaterThan(100);
    }
  });
});

describe('what the loss and the variance say of each other', () => {
  test.each([
    [{}, { variance: 'fixed', loss: 'simple' }],
    [{ variance: 'learned' }, { variance: 'learned', loss: 'hybrid' }],
    [{ loss: 'hybrid' }, { variance: 'learned', loss: 'hybrid' }],
    [{ loss: 'vlb' }, { variance: 'learned', loss: 'vlb' }],
    [{ loss: 'simple' }, { variance: 'fixed', loss: 'simple' }],
  ] as const)('%j becomes %j', (given, expected) => {
    expect(resolveSettings({ settings: given }).settings).toMatchObject(expected);
  });

  test.each([
    [{ variance: 'learned', loss: 'simple' }, '--variance learned needs --loss hybrid or vlb'],
    [{ variance: 'fixed', loss: 'hybrid' }, '--loss hybrid needs --variance learned'],
    [{ loss: 'vlb', weighting: 'min-snr' }, '--weighting does not go with --loss vlb'],
    [{ task: 'classifier', labels: 'l', variance: 'learned' }, '--variance is for diffusion models'],
    [{ task: 'classifier', labels: 'l', selfConditioning: true }, '--self-conditioning is for diffusion models'],
    [
      { task: 'classifier', labels: 'l', timestepSampling: 'loss-aware' },
      '--timestep-sampling is for diffusion models',
    ],
  ] as const)('%j is refused: %s', (given, problem) => {
    expect(() => resolveSettings({ settings: given })).toThrow(problem);
  });
});
