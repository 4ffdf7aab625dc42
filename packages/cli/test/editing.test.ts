import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { samplers } from '@diffuse/core';
import { readImage, saveImages } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let plain: string;
let dropped: string;
let photo: string;
let mask: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  plain = join(folder, 'plain');
  dropped = join(folder, 'dropped');
  const photos = await tinyImages(join(folder, 'photos'));
  const { images, labels } = await tinyIdx(folder);
  const flags = [...tinyModel, '--cache-dir', join(folder, 'cache'), '--timesteps=40', '--steps=6', '--quiet'];
  expect((await run('train', '--data', photos, '--out', plain, ...flags)).code).toBe(0);
  const conditional = ['--data', images, '--labels', labels, '--drop-class=0.3'];
  expect((await run('train', ...conditional, '--out', dropped, ...flags)).code).toBe(0);
  const picture = async (name: string, value: (pixel: number) => number): Promise<string> => {
    const out = join(folder, name);
    await mkdir(out);
    const data = Float32Array.from({ length: 64 }, (_, pixel) => value(pixel));
    await saveImages(out, { data, shape: [1, 8, 8, 1] });
    return join(out, '0000.png');
  };
  photo = await picture('photo', (pixel) => Math.sin(pixel / 5));
  mask = await picture('mask', (pixel) => (pixel % 8 < 4 ? 1 : -1));
});

async function draw(name: string, ...flags: string[]): Promise<Buffer> {
  const out = join(folder, `${name}.png`);
  const { code, stderr } = await run('sample', '--out', out, '--steps=4', '-n=2', '--quiet', ...flags);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return readFile(out);
}

test.each(Object.keys(samplers))('--sampler %s draws', async (sampler) => {
  expect(
    (await draw(`by-${sampler.replaceAll('+', 'p')}`, '--model', plain, '--sampler', sampler)).length,
  ).toBeGreaterThan(100);
});

describe('guidance', () => {
  test('changes the images, weight 1 does not', async () => {
    const none = await draw('g0', '--model', dropped, '--class=1');
    expect(await draw('g1', '--model', dropped, '--class=1', '--guidance=1')).toEqual(none);
    expect(await draw('g3', '--model', dropped, '--class=1', '--guidance=3')).not.toEqual(none);
  });
});

describe('editing', () => {
  test('strength 0 gives the image back, more gives others', async () => {
    const out = join(folder, 'same');
    const flags = ['--model', plain, '--from', photo, '--strength=0', '-n=1'];
    expect((await run('sample', '--out', out, ...flags, '--quiet')).code).toBe(0);
    expect((await readImage(join(out, '0000.png'))).data).toEqual((await readImage(photo)).data);
    const more = await draw('s5', '--model', plain, '--from', photo, '--strength=0.5');
    expect(await draw('s9', '--model', plain, '--from', photo, '--strength=1')).not.toEqual(more);
  });

  test('a share of the steps is taken', async () => {
    const flags = ['--model', plain, '--from', photo, '--strength=0.5', '-n=1', '--steps=10', '--json'];
    const { stdout } = await run('sample', '--out', join(folder, 'j.png'), ...flags);
    expect(jsonLines(stdout).filter(({ event }) => event === 'progress').length).toBe(5);
  });

  test('what a mask keeps stays', async () => {
    const out = join(folder, 'inpainted');
    const flags = ['--from', photo, '--mask', mask, '--sampler=ddpm', '--steps=5', '--resamples=2', '-n=1', '--quiet'];
    const { code, stderr } = await run('sample', '--model', plain, '--out', out, ...flags);
    expect([code, stderr]).toEqual([0, '']);
    const [before, after] = [(await readImage(photo)).data, (await readImage(join(out, '0000.png'))).data];
    after.forEach((value, pixel) => {
      if (pixel % 8 < 4) expect(Math.abs(value - (before[pixel] as number))).toBeLessThanOrEqual(1);
    });
  });

  test.each<[string, RegExp]>([
    ['--strength=0.5', /^diffuse: --strength edits an image: it needs --from IMAGE/],
    ['--from=PHOTO --strength=1.5', /^diffuse: --strength must be a number from 0 to 1; got 1.5/],
    ['--from=PHOTO --resamples=3', /^diffuse: --resamples belongs to --mask/],
    ['--from=PHOTO --mask=MASK --strength=0.5', /^diffuse: --strength and --mask do not go together/],
    ['--from=nowhere.png', /^diffuse: there is no file .*nowhere.png/],
    ['--guidance=3', /^diffuse: guidance needs a model that was trained with dropped labels/],
    ['--variance=learned-range --sampler=ddpm', /^diffuse: variance 'learned-range' needs a network that predicts/],
  ])('%s', async (flags, message) => {
    const given = flags.replace('PHOTO', photo).replace('MASK', mask).split(' ');
    const { stderr } = await run(
      'sample',
      '--model',
      plain,
      '--out',
      join(folder, 'r.png'),
      '--steps=4',
      '--quiet',
      ...given,
    );
    expect(stderr).toMatch(message);
  });
});
