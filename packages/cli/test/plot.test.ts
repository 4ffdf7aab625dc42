import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cosineSchedule, linearSchedule, schedules } from '@diffuse/core';
import { readImage } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { posteriors } from '../src/plot/posterior.ts';
import { removedFactor, removedShare } from '../src/plot/removed.ts';
import { jsonLines, pngSize, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;
let idx: string;
let model: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'), 4);
  idx = (await tinyIdx(folder)).images;
  model = join(folder, 'model');
  const flags = ['--schedule=linear', '--timesteps=40', '--steps=6', '--quiet', '--cache-dir', join(folder, 'cache')];
  expect((await run('train', '--data', photos, '--out', model, ...tinyModel, ...flags)).code).toBe(0);
});

/** The texts of the SVG that a command draws. */
async function textsOf(...args: string[]): Promise<string[]> {
  const out = join(folder, 'plot.svg');
  const { code, stderr, stdout } = await run('plot', ...args, '--out', out);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(stdout).toBe(`${out}\n`);
  return [...(await readFile(out, 'utf8')).matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text as string);
}

describe('how much of the predicted noise a step removes', () => {
  const linear = linearSchedule();

  // Steps from 1, as papers count them; the linear schedule of DDPM.
  test.each([
    [1000, 0.02],
    [500, 0.0109],
    [100, 0.0201],
    [50, 0.0371],
    [10, 0.147],
    [5, 0.257],
    [2, 0.545],
    [1, 1],
  ])('the share at step %d is %d', (step, share) => {
    expect(Number((removedShare(linear)[step - 1] as number).toPrecision(3))).toBe(share);
  });

  test.each([
    [1000, 0.02],
    [500, 0.01046],
    [300, 0.0078],
    [100, 0.00646],
    [50, 0.00632],
    [10, 0.00642],
    [1, 0.01],
  ])('the factor at step %d is %d', (step, factor) => {
    const digits = String(factor).replace(/^0\.0*/, '').length;
    expect(Number((removedFactor(linear)[step - 1] as number).toPrecision(digits))).toBe(factor);
  });

  test('the share is not monotone at the noisy end, so "ever more" is only true near the data', () => {
    const share = removedShare(linear);
    const lowest = share.indexOf(Math.min(...share));
    expect(lowest).toBeGreaterThan(300);
    expect(lowest).toBeLessThan(400);
    for (let t = 1; t < linear.steps; t++) {
      expect(Math.sign((share[t] as number) - (share[t - 1] as number))).toBe(t <= lowest ? -1 : 1);
    }
  });
});

describe('the posterior', () => {
  test.each([linearSchedule(), cosineSchedule()])('of $name keeps the mean of q(x_t | x_0)', (schedule) => {
    const steps = posteriors(schedule);
    expect(steps[0]).toMatchObject({ x0: 1, xt: 0, variance: 0 });
    steps.forEach(({ x0, xt }, t) => {
      const [level, before] = [schedule.alphaBar[t] as number, t === 0 ? 1 : (schedule.alphaBar[t - 1] as number)];
      // Near the data, 1 - alphaBar has five digits less than float64.
      expect(x0 + xt * Math.sqrt(level)).toBeCloseTo(Math.sqrt(before), 11);
    });
  });
});

describe('plots of schedules', () => {
  test('schedule: three quantities, the schedules named once', async () => {
    const texts = await textsOf('schedule', '--schedule', 'linear,sigmoid', '--timesteps', '100');
    for (const name of ['linear', 'sigmoid']) expect(texts.filter((text) => text === name)).toHaveLength(1);
    expect(texts).toContain('100 timesteps');
    for (const quantity of ['alphaBar', 'beta', 'sigma']) {
      expect(texts.filter((text) => text.startsWith(`${quantity}: `))).toHaveLength(1);
    }
  });

  test.each([
    [1000, ['0', '200', '400', '600', '800', '999']],
    [500, ['0', '100', '200', '300', '400', '499']],
    [40, ['0', '10', '20', '30', '39']],
    [2, ['0', '1']],
    [1, ['0']],
    [20_000, ['0', '5,000', '10,000', '15,000', '19,999']],
  ])('the first and the last of %i timesteps are labelled, and round ones between', async (timesteps, labels) => {
    const texts = await textsOf('schedule', '--schedule', 'sigmoid', '--timesteps', String(timesteps));
    const last = labels.at(-1) as string;
    expect(texts.filter((text) => text === last).length).toBeGreaterThanOrEqual(3);
    for (const label of labels) expect(texts).toContain(label);
    expect(await textsOf('snr', '--timesteps', String(timesteps))).toEqual(expect.arrayContaining(['0', last]));
  });

  test('options reach the schedule', async () => {
    const texts = await textsOf(
      'snr',
      '--schedule=linear',
      '--schedule-options=betaStart=0.0005,betaEnd=0.002',
      '--timesteps=10',
    );
    expect(texts).toContain('linear schedule, 10 timesteps');
    // The ratio falls from about 2000 to about 80.
    expect(texts).toContain('1,000');
    expect(texts).not.toContain('1');
  });

  test('a run has its schedule', async () => {
    expect(await textsOf('schedule', '--model', model)).toContain('linear schedule, 40 timesteps');
  });

  test('removed: the values of a single schedule are written beside its curve', async () => {
    const texts = await textsOf('removed', '--schedule=linear');
    expect(texts).toEqual(expect.arrayContaining(['0.147', '0.0201', '0.00642']));
    expect(await textsOf('removed')).not.toContain('0.147');
  });

  test.each(['schedule', 'snr', 'removed', 'posterior'])(
    '%s of one timestep, and of one that ends at pure noise',
    async (kind) => {
      for (const name of Object.keys(schedules)) {
        await textsOf(kind, `--schedule=${name}`, '--timesteps=1');
        await textsOf(kind, `--schedule=${name}`, '--timesteps=50', '--schedule-options=zeroTerminalSnr=1');
      }
    },
  );

  test('posterior', async () => {
    expect(await textsOf('posterior', '--schedule=cosine')).toEqual(expect.arrayContaining(['of x₀', 'of xₜ']));
  });
});

describe('plot forward', () => {
  const strip = async (...flags: string[]): Promise<{ size: [number, number]; bytes: Buffer }> => {
    const out = join(folder, 'strip.png');
    const { code, stderr } = await run('plot', 'forward', '--out', out, '--cache-dir', join(folder, 'cache'), ...flags);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    return { size: await pngSize(out), bytes: await readFile(out) };
  };

  test('has a column a timestep and a row an image', async () => {
    // 8 x 8 images are enlarged to 96 x 96, with 4 pixels between and 14 around.
    const { size } = await strip('--data', idx, '--images=0,2', '--columns=5');
    expect(size[0]).toBe(5 * 100 - 4 + 28);
    const { size: one } = await strip('--data', photos, '--at=0,10');
    expect(one[0]).toBe(3 * 100 - 4 + 28);
    expect(size[1] - one[1]).toBe(100);
  });

  test('the clean image is what was given, the seed decides the noise', async () => {
    const image = join(photos, '0001.png');
    const first = await strip('--from', image, '--columns=3');
    const picture = await readImage(join(folder, 'strip.png'));
    const clean = await readImage(image);
    const corner = (14 * picture.shape[1] + 14) * picture.shape[2];
    expect(picture.data[corner]).toBe(clean.data[0]);
    expect((await strip('--from', image, '--columns=3', '--seed=0')).bytes).toEqual(first.bytes);
    expect((await strip('--from', image, '--columns=3', '--seed=1')).bytes).not.toEqual(first.bytes);
  });

  test('a row a schedule', async () => {
    const image = join(photos, '0001.png');
    const several = await strip('--from', image, '--schedule=linear,cosine,sigmoid');
    const single = await strip('--from', image);
    // One line of caption less: levels differ from row to row.
    expect(several.size[1]).toBeGreaterThan(single.size[1] + 2 * 100 - 30);
  });
});

describe('plot loss', () => {
  test('a run has loss and learning rate', async () => {
    const texts = await textsOf('loss', '--model', model, '--smooth=2');
    expect(texts).toEqual(expect.arrayContaining(['Loss', 'every step, and the mean of 2 steps', 'Learning rate']));
  });

  test('loss by noise level is what evaluate --json wrote', async () => {
    const path = join(folder, 'levels.jsonl');
    const estimate = { mean: 0.5, standardError: 0.01 };
    for (const floor of [undefined, 0.1]) {
      const levels = [0.1, 1, 10, null].map((sigma) => ({ sigma, eps: estimate, x0: estimate, floor }));
      await writeFile(path, `{"event":"progress"}\n${JSON.stringify({ event: 'loss-by-level', levels })}\n`);
      const texts = await textsOf('loss', '--levels', path);
      expect(texts).toContain('Loss by noise level');
      expect(texts.filter((text) => text === 'the floor')).toHaveLength(floor === undefined ? 0 : 2);
    }
  });

  test('a floor far below the model does not squeeze the model to a line', async () => {
    const path = join(folder, 'deep.jsonl');
    const levels = [0.1, 1, 10].map((sigma, i) => {
      const eps = { mean: 0.5 / (i + 1) };
      return { sigma, eps, x0: { mean: 0.1 }, floor: [0, 1e-30, 1e-3][i] };
    });
    await writeFile(path, JSON.stringify({ event: 'loss-by-level', levels }));
    const texts = await textsOf('loss', '--levels', path);
    expect(texts).toEqual(expect.arrayContaining(['the floor', '0.1']));
    expect(texts.some((text) => text.includes('⁻²') || text.includes('⁻³⁰'))).toBe(false);
  });

  test('levels of pure noise alone are refused', async () => {
    const path = join(folder, 'noise.jsonl');
    const levels = [{ sigma: null, eps: { mean: 0 }, x0: { mean: 1 } }];
    await writeFile(path, JSON.stringify({ event: 'loss-by-level', levels }));
    const { code, stderr } = await run('plot', 'loss', '--levels', path, '--out', join(folder, 'a.png'));
    expect(stderr).toBe('diffuse: --levels: no noise level is below sigma 200\n');
    expect(code).toBe(2);
  });
});

describe('plot', () => {
  test('--json says what was written', async () => {
    const out = join(folder, 'json.webp');
    const { stdout } = await run('plot', 'snr', '--out', out, '--json');
    expect(jsonLines(stdout)).toEqual([{ event: 'done', kind: 'snr', out }]);
  });

  test.each([
    ['plot', /^a kind of picture \(schedule, snr, .*\) is missing/],
    ['plot scheduel --out a.png', /^KIND must be a kind of picture \(schedule, .*\); got 'scheduel'/],
    ['plot snr', /^--out is missing: a file/],
    ['plot snr --out a.jpg', /^--out of plot snr must end in .svg or .png or .webp; got 'a.jpg'/],
    ['plot forward --out a.svg --from x.png', /^--out of plot forward must end in .png or .webp; got 'a.svg'/],
    ['plot snr --out a.png --from x.png', /^--from belongs to plot forward, not to plot snr/],
    [
      'plot snr --out a.png --schedule linear,cosin',
      /^--schedule must be one or several of linear, .*got linear,cosin/,
    ],
    ['plot snr --out a.png --schedule linear,linear', /^--schedule must be one or several of/],
    ['plot snr --out a.png --schedule-options beta=1', /schedule 'linear' has no option 'beta'/],
    ['plot snr --out a.png --model NONE', /^cannot read the configuration .*config.yaml/],
    ['plot snr --out a.png --model MODEL --timesteps 5', /^--model has a schedule already; leave --timesteps out/],
    ['plot posterior --out a.png --schedule linear,cosine', /^plot posterior shows one schedule; got/],
    ['plot forward --out a.png', /^plot forward needs an image: --from IMAGE, or --data/],
    ['plot forward --out a.png --from x.png --data y', /^plot forward needs an image/],
    ['plot forward --out a.png --from FOLDER/x.png', /there is no file .*x.png/],
    ['plot forward --out a.png --from FOLDER/photos/0000.png --at 5,1000', /^--at must be from 0 to 999.*got 1000/],
    ['plot forward --out a.png --data FOLDER/images.idx3-ubyte --images 24', /^--images must be from 0 to 23.*got 24/],
    [
      'plot forward --out a.png --data FOLDER/images.idx3-ubyte --images 1,2 --schedule linear,cosine',
      /^plot forward shows several images or several schedules, not both/,
    ],
    ['plot loss --out a.png', /^plot loss needs --model DIR, the folder of a run, or --levels FILE/],
    ['plot loss --out a.png --model NONE', /^--model: cannot read .*metrics.jsonl/],
    ['plot loss --out a.png --levels FOLDER/broken.json', /broken.json:1 is not valid JSON/],
    ['plot loss --out a.png --levels FOLDER/other.json', /^--levels: .*other.json has no event loss-by-level/],
    [
      'plot loss --out a.png --levels FOLDER/wrong.json',
      /wrong.json:1: levels\[0\] must have sigma, eps.mean and x0.mean/,
    ],
  ])('diffuse %s is refused in one line', async (text, message) => {
    await writeFile(join(folder, 'broken.json'), '[');
    await writeFile(join(folder, 'other.json'), '{}');
    await writeFile(join(folder, 'wrong.json'), '{"event":"loss-by-level","levels":[{"sigma":1}]}');
    const args = text.split(' ').map((part) => {
      return part.replace('FOLDER', folder).replace('MODEL', model).replace('NONE', join(folder, 'none'));
    });
    const { code, stderr, stdout } = await run(...args);
    expect(stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(stderr.slice('diffuse: '.length)).toMatch(message);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});
