import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let files: { images: string; labels: string };

/** Folders of the runs that these tests need, by name. */
const runs: Record<string, readonly string[]> = {
  PLAIN: [],
  WEAK: ['--model-channels=8,8'],
  TOLD: ['--labels'],
  DROPPED: ['--labels', '--drop-class=0.3'],
  NOISE: ['--predict=eps'],
  JUDGE: ['--task=classifier', '--noisy', '--labels'],
  BLIND: ['--task=classifier', '--labels'],
  LARGE: ['--task=classifier', '--noisy', '--labels', '--resolution=16'],
  LONG: ['--task=classifier', '--noisy', '--labels', '--timesteps=41'],
};

beforeAll(async () => {
  folder = await temporaryFolder();
  files = await tinyIdx(folder);
  const two = await tinyImages(join(folder, 'two/a'), 12);
  await rename(two, join(folder, 'two/b'));
  await tinyImages(two, 12);
  const common = ['--timesteps=40', '--steps=3', '--quiet', '--cache-dir', join(folder, 'cache')];
  const small = ['--model-channels=8,16', '--batch-size=4', '--warmup=2'];
  const all = { ...runs, PAIR: ['--task=classifier', '--noisy', '--classes=folders', '--data', join(folder, 'two')] };
  for (const [name, flags] of Object.entries(all)) {
    const given = flags.flatMap((flag) => (flag === '--labels' ? [flag, files.labels] : [flag]));
    const data = flags.includes('--data') ? [] : ['--data', files.images];
    const shape = flags.includes('--task=classifier') ? small : tinyModel;
    const args = ['--out', join(folder, name), ...data, ...shape, ...common, ...given];
    const { code, stderr } = await run('train', ...args);
    expect([code, stderr]).toEqual([0, '']);
  }
});

const withFolders = (text: string): string[] =>
  text.split(' ').map((part) => part.replace(/\b[A-Z]{4,}\b/, (name) => join(folder, name)));

async function pixels(command: string, flags: string): Promise<Buffer> {
  const out = join(folder, 'out.png');
  const { code, stderr } = await run(command, ...withFolders(flags), '--out', out, '--steps=4', '-n=3', '--quiet');
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return readFile(out);
}

describe.each(['sample', 'trajectory'])('%s', (command) => {
  test('--guidance changes what is drawn', async () => {
    const none = await pixels(command, '--model DROPPED --class 1');
    expect(await pixels(command, '--model DROPPED --class 1 --guidance 1')).toEqual(none);
    expect(await pixels(command, '--model DROPPED --class 1 --guidance 3')).not.toEqual(none);
  });

  test('--guide leads away from a weaker model', async () => {
    const none = await pixels(command, '--model PLAIN');
    expect(await pixels(command, '--model PLAIN --guide WEAK --guidance 1')).toEqual(none);
    const guided = await pixels(command, '--model PLAIN --guide WEAK --guidance 2');
    expect(guided).not.toEqual(none);
    // A model has nothing to go away from in itself.
    expect(await pixels(command, '--model PLAIN --guide PLAIN --guidance 1.5')).toEqual(none);
    expect(await pixels(command, '--model TOLD --guide WEAK --guidance 2')).not.toEqual(guided);
  });

  test('--classifier leads to its classes, with a model that knows them and one that knows none', async () => {
    for (const model of ['PLAIN', 'TOLD', 'DROPPED']) {
      const none = await pixels(command, `--model ${model} ${model === 'PLAIN' ? '' : '--class 0'}`.trim());
      const led = (flags: string) => pixels(command, `--model ${model} --classifier JUDGE --class 0 ${flags}`);
      const once = await led('--classifier-scale 20');
      expect(once).not.toEqual(none);
      expect(await led('--classifier-scale 0')).toEqual(none);
      expect(await led('--classifier-scale 40')).not.toEqual(once);
    }
    const turns = await pixels(command, '--model PLAIN --classifier JUDGE --classifier-scale 20');
    expect(await pixels(command, '--model PLAIN --classifier JUDGE --classifier-scale 20 --class 0,1,2')).toEqual(
      turns,
    );
  });
});

test('evaluate draws with guidance', async () => {
  const distances = async (flags: string) => {
    const given = withFolders(`--model PLAIN --features BLIND --metrics fid -n 6 --steps 3 --json ${flags}`.trim());
    const cache = ['--cache-dir', join(folder, 'cache')];
    const { code, stdout } = await run('evaluate', '--data', files.images, ...given, ...cache);
    expect(code).toBe(0);
    return stdout.split('\n').find((line) => line.includes('"event":"distances"'));
  };
  const none = await distances('');
  expect(await distances('--guide WEAK --guidance 3')).not.toEqual(none);
  expect(await distances('--classifier JUDGE --classifier-scale 30')).not.toEqual(none);
});

describe('refuses in one line, before anything is drawn', () => {
  const cases: [string, RegExp][] = [
    [
      '--model PLAIN --guidance 3',
      /^--guidance needs a model that was trained with --drop-class, .*; or --guide, a wea/,
    ],
    ['--model TOLD --guidance 0', /^--guidance needs a model that was trained with --drop-class/],
    [
      '--model PLAIN --guide WEAK',
      /^--guide needs --guidance, how far to go away from it: 1 is not at all, 2 is usual$/,
    ],
    ['--model PLAIN --guide NOISE --guidance 2', /^--guide: .*NOISE predicts eps; the model predicts v$/],
    ['--model PLAIN --guide TOLD --guidance 2', /^--guide: .*TOLD is told 3 classes; the model none$/],
    ['--model PLAIN --guide JUDGE --guidance 2', /^--guide: .*JUDGE holds a classifier.*; expected a U-Net for images/],
    ['--model PLAIN --guide NONE --guidance 2', /^--guide: .*NONE/],
    ['--model PLAIN --classifier WEAK', /^--classifier: .*WEAK holds a U-Net for images; expected a classifier/],
    ['--model PLAIN --classifier NONE', /^--classifier: .*NONE/],
    ['--model PLAIN --classifier BLIND', /^--classifier: .*BLIND has never seen noise; train it with .* --noisy$/],
    [
      '--model PLAIN --classifier LARGE',
      /^--classifier: .*LARGE is for images of 16 x 16 x 1; the model draws 8 x 8 x 1/,
    ],
    ['--model TOLD --classifier PAIR', /^--classifier: .*PAIR knows 2 classes; the model is told 3$/],
    ['--model PLAIN --classifier LONG', /^--classifier: .*LONG was trained at other noise levels than the model; give/],
    [
      '--model PLAIN --classifier JUDGE --class 3',
      /^--class must be from 0 to 2 or a name of a class: 0, 1, 2; got '3'$/,
    ],
    ['--model PLAIN --classifier JUDGE --guidance 2', /^--classifier and --guidance do not go together$/],
    ['--model PLAIN --classifier JUDGE --guide WEAK --guidance 2', /^--classifier and --guide do not go together$/],
    [
      '--model PLAIN --classifier-scale 2',
      /^--classifier-scale says how strongly --classifier leads: give --classifier/,
    ],
    [
      '--model PLAIN --classifier JUDGE --classifier-scale x',
      /^--classifier-scale must be a number of any sign; got 'x'$/,
    ],
  ];

  test.each(cases)('%s', async (flags, message) => {
    const features = ['--data', files.images, '--features', join(folder, 'BLIND'), '--metrics=bpd,fid'];
    for (const [command, more] of [
      ['sample', ['--out', join(folder, 'r.png')]],
      ['trajectory', ['--out', join(folder, 'r.png')]],
      ['evaluate', [...features, '--cache-dir', join(folder, 'cache')]],
    ] as const) {
      const { code, stderr, stdout } = await run(command, ...withFolders(flags), ...more, '--json');
      expect(stderr).toMatch(/^diffuse: [^\n]+\n$/);
      expect(stderr.slice('diffuse: '.length).trimEnd()).toMatch(message);
      expect(stdout.trimEnd().split('\n'), 'the error alone is told').toHaveLength(1);
      expect(code).toBe(2);
    }
  });
});
