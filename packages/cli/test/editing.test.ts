import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { samplers } from '@diffuse/core';
import { readImage, saveImages } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let plain: string;
let dropped: string;
let told: string;
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
  told = join(folder, 'told');
  const digits = ['--data', images, '--labels', labels];
  expect((await run('train', ...digits, '--out', told, ...flags)).code).toBe(0);
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

  test('a strength of less than a step is said to leave the image', async () => {
    const flags = ['--model', plain, '--from', photo, '-n=1', '--steps=5'];
    const warned = await run('sample', '--out', join(folder, 'weak.png'), ...flags, '--strength=0.01');
    expect(warned.code).toBe(0);
    expect(warned.stderr).toContain('--strength 0.01 of 5 steps rounds to none: the image stays as it is');
    const asked = await run('sample', '--out', join(folder, 'weak.png'), ...flags, '--strength=0');
    expect(asked.stderr).not.toContain('stays as it is');
  });

  test('--jump says how far back and forth goes', async () => {
    const evaluations = async (...more: string[]) => {
      const flags = ['--from', photo, '--mask', mask, '--steps=6', '--resamples=3', '-n=1', '--json', ...more];
      const { stdout } = await run('sample', '--model', plain, '--out', join(folder, 'jump.png'), ...flags);
      return {
        steps: jsonLines(stdout).filter(({ event }) => event === 'progress').length,
        file: await readFile(join(folder, 'jump.png')),
      };
    };
    const [two, three] = [await evaluations('--jump=2'), await evaluations('--jump=3')];
    expect([two.steps, three.steps]).toEqual([18, 18]);
    expect(two.file).not.toEqual(three.file);
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

  describe('--invert', () => {
    async function invert(name: string, ...flags: string[]) {
      const out = join(folder, name);
      const { stdout, stderr } = await run('sample', '--out', out, '--invert', photo, '--json', '--quiet', ...flags);
      expect(stderr).toBe('');
      const found = jsonLines(stdout).find(({ event }) => event === 'inversion') as {
        error: number;
        deviation: number;
      };
      return { ...found, out, lines: jsonLines(stdout) };
    }
    const drawn = async (out: string, index = 0) => (await readImage(join(out, `000${index}.png`))).data;

    test('gives the image back, the better the more steps there are', async () => {
      const [few, many] = [
        await invert('back-4', '--model', plain, '--steps=4'),
        await invert('back-40', '--model', plain, '--steps=40'),
      ];
      expect(many.error).toBeLessThan(few.error / 4);
      const [before, after] = [(await readImage(photo)).data, await drawn(many.out)];
      const squares = after.reduce((sum, value, i) => sum + ((value - (before[i] as number)) / 255) ** 2, 0);
      // Bytes are rounded to half a 255th.
      expect(Math.sqrt(squares / 64)).toBeCloseTo(Math.sqrt(many.error), 2);
      expect(many.deviation).toBeGreaterThan(0.3);
      // 39 evaluations to the noise, 40 back; nothing is edited.
      expect(many.lines.filter(({ event }) => event === 'progress')).toHaveLength(79);
      expect(many.lines.at(-1)).toMatchObject({ event: 'done', count: 1, shape: [1, 8, 8, 1] });
    });

    test('another class, guidance or fresh noise makes an edit; the same class does not', async () => {
      const flags = ['--model', dropped, '--steps=10', '--invert-class=1'];
      const { out, error } = await invert('edited', ...flags, '--class=1,2');
      const same = await invert('kept', ...flags);
      expect(same.error).toBe(error);
      expect(await drawn(out, 0)).toEqual(await drawn(same.out));
      expect(await drawn(out, 1)).not.toEqual(await drawn(same.out));
      const guided = await invert('guided', ...flags, '--class=1', '--guidance=3');
      expect(await drawn(guided.out)).not.toEqual(await drawn(same.out));
      const seeds = ['0', '1'].map((seed) => invert(`eta-${seed}`, ...flags, '--eta=1', '--seed', seed));
      const [first, second] = await Promise.all(seeds.map(async (each) => drawn((await each).out)));
      expect(first).not.toEqual(second);
    });

    test('without a class the null class is taken; copies are all alike', async () => {
      const { out, lines } = await invert('null', '--model', dropped, '--steps=4', '-n=2');
      expect(lines.at(-1)).toMatchObject({ count: 2 });
      expect(await drawn(out, 0)).toEqual(await drawn(out, 1));
    });

    test('tells how well it went', async () => {
      const flags = ['--model', plain, '--invert', photo, '--steps=4', '--quiet'];
      const { stdout } = await run('sample', '--out', join(folder, 'told.png'), ...flags);
      expect(stdout).toMatch(
        /^reconstruction error [\d.]+ \(mean square of values in \[0, 1\]; \d+\.\d dB\); the noise found has deviation [\d.]+\n/,
      );
    });
  });

  test.each<[string, RegExp]>([
    ['--strength=0.5', /^diffuse: --strength edits an image: it needs --from IMAGE/],
    ['--from=PHOTO --strength=1.5', /^diffuse: --strength must be a number from 0 to 1; got 1.5/],
    ['--from=PHOTO --resamples=3', /^diffuse: --resamples belongs to --mask/],
    ['--from=PHOTO --mask=MASK --strength=0.5', /^diffuse: --strength and --mask do not go together/],
    ['--from=nowhere.png', /^diffuse: there is no file .*nowhere.png/],
    ['--guidance=3', /^diffuse: --guidance needs a model that was trained with --drop-class/],
    ['--invert=PHOTO --guidance=3', /^diffuse: --guidance needs a model that was trained with --drop-class/],
    ['--invert=PHOTO --guide=TOLD --guidance=2', /^diffuse: --invert and --guide do not go together/],
    ['--from=PHOTO --jump=5', /^diffuse: --jump belongs to --mask/],
    [
      '--from=PHOTO --mask=MASK --sampler=heun',
      /^diffuse: --mask goes back and forth, which --sampler heun does not survive.* or --resamples 1$/m,
    ],
    ['--variance=learned-range --sampler=ddpm', /^diffuse: variance 'learned-range' needs a network that predicts/],
    ['--invert=PHOTO --from=PHOTO', /^diffuse: --invert and --from do not go together/],
    ['--invert=PHOTO --sampler=ddpm', /^diffuse: --invert takes the way of --sampler ddim back and forth, not of ddpm/],
    ['--invert=PHOTO --invert-class=1', /^diffuse: --invert-class: this model was trained without classes/],
    ['--invert=PHOTO --model=TOLD', /^diffuse: --invert needs --invert-class: this model is told a class/],
    ['--invert=PHOTO --model=TOLD --invert-class=7', /^diffuse: --invert-class must be from 0 to 2 or a name of a/],
    ['--invert-class=1', /^diffuse: --invert-class says what an image shows: it needs --invert IMAGE/],
    ['--invert=nowhere.png', /^diffuse: there is no file .*nowhere.png/],
    ['--invert=PHOTO --steps=1', /^diffuse: steps of sampler 'ddim-inversion' .*1/],
  ])('%s', async (flags, message) => {
    const paths: Record<string, string> = { PHOTO: photo, MASK: mask, TOLD: told };
    const given = flags.replace(/[A-Z]{4,}/g, (name) => paths[name] ?? name).split(' ');
    const { stderr } = await run(
      'sample',
      ...(flags.includes('--model') ? [] : ['--model', plain]),
      '--out',
      join(folder, 'r.png'),
      ...(flags.includes('--steps') ? [] : ['--steps=4']),
      '--quiet',
      ...given,
    );
    expect(stderr).toMatch(message);
  });
});
