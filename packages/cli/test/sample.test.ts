import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readImage } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { contentOf, jsonLines, pngSize, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let plain: string;
let conditional: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  plain = join(folder, 'plain');
  conditional = join(folder, 'conditional');
  const photos = await tinyImages(join(folder, 'photos'));
  const { images, labels } = await tinyIdx(folder);
  const cache = ['--cache-dir', join(folder, 'cache'), '--quiet'];
  const ema = ['--ema=0.5', '--timesteps=40', '--steps=6'];
  expect((await run('train', '--data', photos, '--out', plain, ...tinyModel, ...ema, ...cache)).code).toBe(0);
  const labelled = ['--data', images, '--labels', labels];
  expect((await run('train', ...labelled, '--out', conditional, ...tinyModel, ...ema, ...cache)).code).toBe(0);
});

/** Samples as bytes of a picture. */
async function draw(name: string, ...flags: string[]): Promise<Buffer> {
  const out = join(folder, name);
  const { code, stderr } = await run('sample', '--out', out, '--steps=4', '-n=4', '--quiet', ...flags);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return readFile(out);
}

describe('sample', () => {
  test('writes a grid', async () => {
    const out = join(folder, 'grid.png');
    const { code, stdout } = await run('sample', '--model', plain, '--out', out, '-n', '6', '--steps', '3');
    expect(code).toBe(0);
    expect(stdout).toBe(`${out}\n`);
    expect(await pngSize(out)).toEqual([3 * 66 - 2, 2 * 66 - 2]);
  });

  test('writes one file an image into a folder', async () => {
    const out = join(folder, 'files');
    const { stdout } = await run('sample', '--model', plain, '--out', out, '-n', '3', '--steps', '2');
    expect(stdout).toBe(`3 images in ${out}\n`);
    expect([...(await contentOf(out)).keys()]).toEqual(['0000.png', '0001.png', '0002.png']);
    expect(await pngSize(join(out, '0001.png'))).toEqual([8, 8]);
  });

  test('the seed decides the images, batch size and threads do not', async () => {
    const first = await draw('a.png', '--model', plain, '--seed=3');
    expect(await draw('b.png', '--model', plain, '--seed=3', '--batch-size=2', '--threads=1')).toEqual(first);
    expect(await draw('c.png', '--model', plain, '--seed=4')).not.toEqual(first);
  });

  test('draws in bf16 from the same run: other images, as sure as the first', async () => {
    const first = await draw('g.png', '--model', plain, '--seed=3');
    const rounded = await draw('h.png', '--model', plain, '--seed=3', '--precision=bf16');
    expect(rounded).not.toEqual(first);
    const again = ['--precision=bf16', '--batch-size=2', '--threads=1'];
    expect(await draw('i.png', '--model', plain, '--seed=3', ...again)).toEqual(rounded);
  });

  test('samples from the average of the weights unless told otherwise', async () => {
    const average = await draw('d.png', '--model', plain);
    expect(await draw('e.png', '--model', plain, '--ema')).toEqual(average);
    expect(await draw('f.png', '--model', plain, '--no-ema')).not.toEqual(average);
  });

  test('a single image is one image', async () => {
    const out = join(folder, 'v1.2');
    const { stdout } = await run('sample', '--model', plain, '--out', out, '-n', '1', '--steps', '2');
    expect(stdout).toBe(`1 image in ${out}\n`);
  });

  test("a spacing of one's own", async () => {
    const flags = ['--model', plain, '--json', '-n=1'];
    const timesteps = async (...more: string[]) => {
      const out = join(folder, 'own.png');
      const { stdout } = await run('trajectory', '--out', out, ...flags, ...more);
      return jsonLines(stdout)
        .filter(({ event }) => event === 'step')
        .map(({ t }) => t);
    };
    expect(await timesteps('--spacing=39,20,7.5,0')).toEqual([39, 20, 7.5, 0]);
    expect(await timesteps('--spacing=12', '--steps=1')).toEqual([12]);
    // Those of a name are the same, drawn by name or by list.
    const draws = (spacing: string) => draw('own.png', '--model', plain, `--spacing=${spacing}`);
    expect(await draws('39,29,19,9')).toEqual(await draws('trailing'));
  });

  test('every option reaches its sampler', async () => {
    const cases = {
      'dpm++2m': [['--order=1']],
      heun: [
        ['--churn=40'],
        ['--churn=40', '--churn-min=1'],
        ['--churn=40', '--churn-max=1'],
        ['--churn=40', '--churn-noise=2'],
      ],
      'tutorial-deterministic': [['--lambda=wrong']],
      momentum: [['--gam=1'], ['--mu=0.5']],
    };
    for (const [sampler, options] of Object.entries(cases)) {
      const drawn = new Set<string>();
      for (const flags of [[], ...options]) {
        drawn.add((await draw('o.png', '--model', plain, `--sampler=${sampler}`, ...flags)).toString('base64'));
      }
      expect(drawn.size, sampler).toBe(options.length + 1);
    }
    const right = await draw('o.png', '--model', plain, '--sampler=tutorial-deterministic');
    expect(await draw('o.png', '--model', plain, '--sampler=tutorial-deterministic', '--lambda=right')).toEqual(right);
  });

  test('every sampler and spacing', async () => {
    for (const spacing of ['leading', 'trailing', 'linspace', 'quadratic']) {
      await draw('g.png', '--model', plain, '--sampler=ddim', `--spacing=${spacing}`, '--eta=0.5', '--clip=2');
    }
    await draw('h.png', '--model', plain, '--sampler=ddpm', '--variance=fixed-large', '--clip=Infinity');
  });

  test('a class by number or name; several take turns', async () => {
    const ones = await draw('i.png', '--model', conditional, '--class=1');
    expect(await draw('j.png', '--model', conditional, '--class=1,1')).toEqual(ones);
    expect(await draw('k.png', '--model', conditional, '--class=0')).not.toEqual(ones);
    const turns = await draw('l.png', '--model', conditional, '--class=0,1,2');
    expect(await draw('m.png', '--model', conditional)).toEqual(turns);
  });

  test('--json tells progress and result', async () => {
    const out = join(folder, 'n.webp');
    const { stdout, stderr } = await run('sample', '--model', plain, '--out', out, '-n=2', '--steps=2', '--json');
    expect(stderr).toBe('');
    expect(jsonLines(stdout)).toEqual([
      { event: 'progress', done: 1, total: 2 },
      { event: 'progress', done: 2, total: 2 },
      { event: 'done', out, count: 2, shape: [2, 8, 8, 1] },
    ]);
  });

  test.each([
    [['--model=PLAIN', '--class=1'], /^diffuse: --class: this model was trained without classes/],
    [
      ['--model=CONDITIONAL', '--class=3'],
      /^diffuse: --class must be from 0 to 2 or a name of a class: 0, 1, 2; got '3'/,
    ],
    [
      ['--model=PLAIN', '--eta=1', '--sampler=ddpm'],
      /^diffuse: --eta belongs to --sampler ddim or euler-ancestral or dpm\+\+2m-sde, not to ddpm/,
    ],
    [['--model=PLAIN', '--order=1'], /^diffuse: --order belongs to --sampler dpm\+\+2m, not to ddim/],
    [
      ['--model=PLAIN', '--lambda=wrong'],
      /^diffuse: --lambda belongs to --sampler tutorial-deterministic, not to ddim/,
    ],
    [['--model=PLAIN', '--churn-min=1'], /^diffuse: --churn-min belongs to --sampler heun, not to ddim/],
    [['--model=PLAIN', '--sampler=heun', '--churn-max=1'], /^diffuse: --churn-max says of what kind --churn is: give/],
    [
      ['--model=PLAIN', '--sampler=heun', '--churn=1', '--churn-min=3', '--churn-max=1'],
      /^diffuse: churnMax of sampler 'heun' must be a number from 3 to Infinity, got 1/,
    ],
    [
      ['--model=PLAIN', '--spacing=40,3'],
      /^diffuse: --spacing must begin at 39, the model's last timestep, or below; got 40/,
    ],
    [
      ['--model=PLAIN', '--spacing=9,3', '--steps=4'],
      /^diffuse: --spacing has 2 timesteps, but --steps is 4; leave --ste/,
    ],
    [['--model=PLAIN', '--variance=fixed-large'], /^diffuse: --variance belongs to --sampler ddpm, not to ddim/],
    [['--model=PLAIN', '--steps=41'], /^diffuse: --steps must be from 1 to 40, the model's timesteps; got 41/],
  ])('refuses %j', async (flags, message) => {
    const given = flags.map((flag) => flag.replace('PLAIN', plain).replace('CONDITIONAL', conditional));
    const { code, stderr } = await run('sample', '--out', join(folder, 'refused.png'), ...given);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});

describe('trajectory', () => {
  test('a picture has three rows an image and a column a step', async () => {
    const out = join(folder, 'steps.png');
    const flags = ['--steps', '10', '--columns', '5', '-n', '2', '--json'];
    const { code, stdout } = await run('trajectory', '--model', plain, '--out', out, ...flags);
    expect(code).toBe(0);
    const lines = jsonLines(stdout);
    expect(lines.filter(({ event }) => event === 'step')).toHaveLength(10);
    // Trailing spacing of 10 in 40 timesteps: 39, 35 … 3; of these, steps 1, 3, 6, 8 and 10.
    expect(lines.at(-1)).toEqual({ event: 'done', out, timesteps: [39, 31, 19, 11, 3] });
    const [width, height] = await pngSize(out);
    // Images of 8 x 8 are enlarged to 64 x 64, with 4 pixels between, 14 around and 16 more between the two triples of rows; two lines of
    // 16 pixels stand below.
    expect(height).toBe(6 * 68 - 4 + 28 + 16 + 32);
    expect(width).toBeGreaterThan(5 * 68 - 4 + 28 + 50);
    expect((await run('trajectory', '--model', plain, '--out', out, ...flags, '--no-captions')).code).toBe(0);
    expect(await pngSize(out)).toEqual([5 * 68 - 4 + 28, 6 * 68 - 4 + 28 + 16]);
  });

  test('an animation has a frame a step', async () => {
    for (const [name, flags] of [
      ['steps.gif', []],
      ['steps.webp', []],
    ] as const) {
      const out = join(folder, name);
      expect((await run('trajectory', '--model', conditional, '--out', out, '--steps=4', ...flags)).code).toBe(0);
      const frame = await readImage(out);
      // A line of 20 pixels and 8 below it tell the step.
      expect(frame.shape[0]).toBe(3 * 68 - 4 + 28 + 28);
    }
  });

  test('--still makes a picture of what would be an animation', async () => {
    const flags = ['--model', plain, '--steps=4', '--quiet'];
    const [still, picture] = [join(folder, 'still.webp'), join(folder, 'still.png')];
    expect((await run('trajectory', '--out', still, '--still', ...flags)).code).toBe(0);
    expect((await run('trajectory', '--out', picture, ...flags)).code).toBe(0);
    expect(await readImage(still)).toMatchObject({ shape: (await readImage(picture)).shape });
  });
});

describe('inspect', () => {
  test('tells what the model is', async () => {
    const { code, stdout } = await run('inspect', conditional, '--batch-size', '4');
    expect(code).toBe(0);
    expect(stdout).toContain('a U-Net for images of 8 x 8 x 1, 3 classes');
    expect(stdout).toContain('predicts v');
    expect(stdout).toContain('batch of 4, fp32');
    expect(stdout).toMatch(/^1 +4 x 4 +16 +1 residual \+ attention +2 residual \+ attention$/m);
  });

  test('--precision counts the memory of another number format', async () => {
    const trainingBytes = async (precision: string): Promise<number> => {
      const flags = ['--batch-size=64', '--precision', precision, '--json'];
      const [line] = jsonLines((await run('inspect', plain, ...flags)).stdout);
      expect(line).toMatchObject({ precision });
      return (line as { training: { memoryBytes: number } }).training.memoryBytes;
    };
    expect(await trainingBytes('bf16')).toBeLessThan(0.8 * (await trainingBytes('fp32')));
  });

  test('--json gives the same facts; the parts sum to the whole', async () => {
    const [line] = jsonLines((await run('inspect', plain, '--json')).stdout);
    const parts = Object.values(line?.parametersByPart as Record<string, number>);
    expect(parts.reduce((sum, count) => sum + count, 0)).toBe(line?.parameters);
    expect(line).toMatchObject({ event: 'model', shape: [8, 8, 1], classes: null, ema: true, batchSize: 1 });
    expect(line?.schedule).toMatchObject({ name: 'cosine', steps: 40 });
  });
});

describe('doctor', () => {
  test('finds the installation in order and checks itself', async () => {
    const { code, stdout } = await run('doctor', '--check');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^addon +.*\.node$/m);
    expect(stdout).toMatch(/^instruction sets +\w+ \(used\)/m);
    const formats = /^number formats +fp32, bf16, bf16-fast; (?:this CPU multiplies bf16|bf16 saves memory only)/m;
    expect(stdout).toMatch(formats);
    expect(stdout).toMatch(/^cuda +(?:not used: |NVIDIA driver)/m);
    expect(stdout).toMatch(/^images +sharp [\d.]+, libvips [\d.]+$/m);
    for (const name of ['matrix product', 'convolution', 'training step']) {
      expect(stdout).toMatch(new RegExp(`^ok +${name}`, 'm'));
    }
  });
});
