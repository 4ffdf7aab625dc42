import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ended, jsonLines, run, start, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'));
  await tinyIdx(folder);
  await mkdir(join(folder, 'empty'));
  await mkdir(join(folder, 'model', 'unet'), { recursive: true });
  await writeFile(join(folder, 'notes.txt'), 'no image');
  await writeFile(join(folder, 'unknown.yaml'), 'batchsize: 4\n');
  await writeFile(join(folder, 'broken.yaml'), 'steps: [1\n');
  await writeFile(join(folder, 'wrong.yaml'), 'steps: many\n');
  await writeFile(join(folder, 'list.yaml'), '- steps\n');
});

/** Arguments, exit code and what the one line on stderr says. FOLDER stands for the folder of the test. */
const cases: readonly (readonly [args: string, code: number, message: RegExp])[] = [
  ['', 2, /^no command was given; commands: train, sample, trajectory, plot, evaluate, inspect, doctor/],
  ['trian', 2, /^there is no command 'trian'; did you mean train\?/],
  ['judge', 2, /^there is no command 'judge' \(commands: train,/],
  ['train', 2, /^--out is missing: a folder/],
  ['train --out FOLDER/run', 2, /^--data is missing: a folder of images or an IDX file/],
  ['train --out FOLDER/run --stpes 5', 2, /^train has no flag --stpes; did you mean --steps\?/],
  ['train --out FOLDER/run --guidance 2', 2, /^train has no flag --guidance$/],
  ['train --out FOLDER/run --steps', 2, /^--steps needs a value/],
  ['train --out FOLDER/run --steps x', 2, /^--steps must be a whole number, at least 1; got 'x'/],
  ['train --out FOLDER/run --steps 1.5', 2, /^--steps must be a whole number, at least 1; got 1.5/],
  ['train --out FOLDER/run --steps 0', 2, /^--steps must be a whole number, at least 1; got 0/],
  ['train --out FOLDER/run --steps 5 --epochs 2', 2, /^--steps and --epochs both say how long/],
  ['train --out FOLDER/run --lr -1', 2, /^--lr must be a number above 0; got -1/],
  ['train --out FOLDER/run --ema 1', 2, /^--ema must be a number from 0 to below 1; got 1/],
  ['train --out FOLDER/run --channels 2', 2, /^--channels must be one of 1, 3, 4; got 2/],
  [
    'train --out FOLDER/run --resolution big',
    2,
    /^--resolution must be a number of pixels, such as 64, or HEIGHTxWIDTH/,
  ],
  ['train --out FOLDER/run --model-channels 32,x', 2, /^--model-channels must be whole numbers above 0 with commas/],
  ['train --out FOLDER/run --schedule cosin', 2, /^--schedule must be one of linear, cosine, .*; got 'cosin'/],
  ['train --out FOLDER/run --predict noise', 2, /^--predict must be one of eps, x0, v, .*; got 'noise'/],
  ['train --out FOLDER/run --precision fp16', 2, /^--precision must be one of fp32, bf16, bf16-fast; got 'fp16'/],
  [
    'train --out FOLDER/run --data FOLDER/photos --device cpu --tf32',
    2,
    /^--tf32 is for GPUs; the CPU \(--device cpu\) has no/,
  ],
  ['inspect FOLDER/model --tf32', 2, /^inspect has no flag --tf32/],
  ['sample --model FOLDER/model --out x.png --precision half', 2, /^--precision must be one of fp32, bf16, bf16-fast;/],
  ['inspect --schedule cosine --precision bf16', 2, /^--schedule does not go with --precision$/],
  ['train --out FOLDER/run --preset mnits', 2, /^--preset must be one of mnist, small, cifar; got 'mnits'/],
  [
    'train --out FOLDER/run --schedule-options beta=1 --data FOLDER/photos',
    2,
    /schedule 'cosine' has no option 'beta'/,
  ],
  ['train --out FOLDER/run --classes labels', 2, /^--classes labels needs --labels FILE/],
  ['train --out FOLDER/run extra', 2, /^train takes no further argument; got 'extra'/],
  ['train --out FOLDER/run --data FOLDER/none', 2, /cannot open .*none/],
  ['train --out FOLDER/run --data FOLDER/empty', 2, /empty holds no files; a folder of images was expected/],
  ['train --out FOLDER/run --data FOLDER/notes.txt', 2, /notes.txt is nothing that can be read; expected a folder/],
  ['train --out FOLDER/run --data FOLDER/photos --labels FOLDER/labels.idx1-ubyte', 2, /labels belong to an IDX file/],
  [
    'train --out FOLDER/run --data FOLDER/photos --model-channels 8,8,8,8,8 --quiet',
    2,
    /multiples of 16; the images are 8 x 8/,
  ],
  [
    'train --out FOLDER/run --data FOLDER/photos --attention 5 --quiet',
    2,
    /attention at height 5: the feature maps have heights/,
  ],
  ['train --out FOLDER/run --data FOLDER/images.idx3-ubyte --channels 3', 2, /channels must be 1 for an IDX file/],
  ['train --out FOLDER/model --data FOLDER/photos', 2, /--out .*model holds unet already, which a run would replace/],
  ['train --out FOLDER/notes.txt --data FOLDER/photos', 2, /^--out .*notes.txt must be a folder/],
  ['train --out FOLDER/run --resume', 2, /^--resume: there is no run in .*run \(it has no config.yaml\)/],
  ['train --out FOLDER/run --config FOLDER/none.yaml', 2, /^cannot read the configuration .*none.yaml/],
  ['train --out FOLDER/run --config FOLDER/unknown.yaml', 2, /unknown key 'batchsize'; did you mean batch-size\?/],
  ['train --out FOLDER/run --config FOLDER/broken.yaml', 2, /broken.yaml:\d+ is not valid YAML/],
  ['train --out FOLDER/run --config FOLDER/wrong.yaml', 2, /^steps in .*wrong.yaml must be a whole number, at least 1/],
  ['train --out FOLDER/run --config FOLDER/list.yaml', 2, /list.yaml must be a mapping of keys to values/],
  ['sample --out a.png', 2, /^--model is missing: a folder/],
  ['sample --model FOLDER/photos --out a.png', 2, /^--model: .*photos is not the folder of a run/],
  ['sample --model FOLDER/none --out a.png', 2, /^--model: .*none/],
  ['sample --model FOLDER/none --out a.png -n 0', 2, /^-n must be a whole number, at least 1; got 0/],
  ['sample --model FOLDER/none --out a.png --count 0', 2, /^--count must be a whole number, at least 1; got 0/],
  ['sample --model FOLDER/none --out a.jpg', 2, /^--out must end in .png or .webp, or be a folder; got 'a.jpg'/],
  ['sample --model FOLDER/none --out a.GIF', 2, /^--out must end in .png or .webp, or be a folder; got 'a.GIF'/],
  ['sample --model FOLDER/none --out a.png --spacing 3,9', 2, /^--spacing must be one of leading, .* got 3,9/],
  ['sample --model FOLDER/none --out a.png --spacing karas', 2, /^--spacing must be one of leading, .* got 'karas'/],
  ['sample --model FOLDER/none --out a.png --order 3', 2, /^--order must be one of 1, 2; got 3/],
  ['sample --model FOLDER/none --out a.png --lambda left', 2, /^--lambda must be one of right, wrong; got 'left'/],
  ['sample --model FOLDER/none --out a.png --eta 2', 2, /^--eta must be a number from 0 to 1; got 2/],
  ['trajectory --model FOLDER/none --out a.jpg', 2, /^--out must end in .png, .webp or .gif; got 'a.jpg'/],
  [
    'trajectory --model FOLDER/none --out a.gif --still',
    2,
    /^--still needs --out ending in .png or .webp; got 'a.gif'/,
  ],
  ['trajectory --model FOLDER/none --out a.png --no-still', 2, /^--no-still needs --out ending in .webp or .gif/],
  ['inspect', 2, /^the folder of a run, or any diffusers folder of a UNet2DModel is missing/],
  ['inspect', 2, /is missing; or give --schedule NAME to look at a schedule alone$/],
  ['inspect FOLDER/photos --schedule edm', 2, /^--schedule does not go with MODEL$/],
  ['inspect --schedule edm --batch-size 2', 2, /^--schedule does not go with --batch-size$/],
  ['inspect FOLDER/photos --timesteps 9', 2, /^MODEL, which has its own schedule, does not go with --timesteps$/],
  [
    'inspect --schedule edn',
    2,
    /^--schedule must be one of linear, .*, karras, edm, or a .json file with betas, .*; got 'edn'/,
  ],
  ['inspect --schedule edm --timesteps 0', 2, /^--timesteps must be a whole number, from 1 to 1000000; got 0/],
  ['inspect --schedule edm --schedule-options s=1', 2, /^schedule 'edm' has no option 's'; it has: steps, mean,/],
  ['inspect --schedule edm --schedule-options mean=x', 2, /^--schedule-options must be names and numbers/],
  ['inspect FOLDER/photos', 2, /^MODEL: .*photos is not the folder of a run/],
  ['sample --model m --out x.png --device gpu', 2, /--device must be auto, cpu, cuda \(the first GPU\) or cuda:N/],
  ['doctor --chek', 2, /^doctor has no flag --chek; did you mean --check\?/],
];

describe('wrong usage is one line that says what would be right', () => {
  test.each(cases)('diffuse %s', async (text, code, message) => {
    const args = text.split(' ').filter((part) => part !== '');
    const outcome = await run(...args.map((part) => part.replace('FOLDER', folder)));
    expect(outcome.stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(outcome.stderr.slice('diffuse: '.length).trimEnd()).toMatch(message);
    expect(outcome.stdout).toBe('');
    expect(outcome.code).toBe(code);
  });
});

test('a failure is an event with --json', async () => {
  const { stdout, code } = await run('train', '--out', join(folder, 'run'), '--data', join(folder, 'none'), '--json');
  expect(code).toBe(2);
  expect(jsonLines(stdout)).toEqual([
    { event: 'error', code: 'ERR_DATA', message: expect.stringContaining('cannot open') },
  ]);
});

test('too little memory is a failed run that says what would fit', async () => {
  const args = ['--data', photos, ...tinyModel, '--model-channels=4096,8192', '--steps=1'];
  const { stderr, code } = await run('train', '--out', join(folder, 'huge'), ...args, '--batch-size=65536');
  expect(code).toBe(1);
  expect(stderr).toMatch(/GiB .*(are available|are free)/);
});

test('as a process: exit code, one line, and the stack only on demand', async () => {
  const plain = await ended(start('sample', '--model', join(folder, 'none'), '--out', 'a.png'));
  expect(plain.code).toBe(2);
  expect(plain.stderr).toMatch(/^diffuse: [^\n]+\n$/);
  process.env.DIFFUSE_DEBUG = '1';
  try {
    const loud = await ended(start('sample', '--model', join(folder, 'none'), '--out', 'a.png'));
    expect(loud.stderr).toContain('\n    at ');
  } finally {
    delete process.env.DIFFUSE_DEBUG;
  }
});
