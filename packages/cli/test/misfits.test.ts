import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { saveImages } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

/** Models to put in the place of their names in capitals; PHOTO and SMALL are images, DATA is a folder of some. */
const places: Record<string, string> = {};
let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  places.DATA = await tinyImages(join(folder, 'photos'));
  const { images, labels } = await tinyIdx(folder);
  const digits = ['--data', images, '--labels', labels];
  const flags = [...tinyModel, '--cache-dir', join(folder, 'cache'), '--timesteps=20', '--steps=2', '--quiet'];
  const train = async (name: string, ...more: string[]): Promise<void> => {
    places[name] = join(folder, name);
    expect((await run('train', '--out', places[name], ...flags, ...more)).code).toBe(0);
  };
  await train('PLAIN', '--data', places.DATA);
  await train('TOLD', ...digits);
  const picture = async (name: string, side: number): Promise<void> => {
    const out = join(folder, name);
    await mkdir(out);
    await saveImages(out, { data: new Float32Array(side * side), shape: [1, side, side, 1] });
    places[name] = join(out, '0000.png');
  };
  await picture('PHOTO', 8);
  await picture('SMALL', 6);
});

/** Commands whose parts do not fit, and what the one line says of it. */
const cases: readonly (readonly [args: string, message: RegExp])[] = [
  ['sample --model PLAIN --sampler ddpm --variance learned-range', /variance 'learned-range' needs a network that pre/],
  ['sample --model PLAIN --class 1', /^--class: this model was trained without classes/],
  ['sample --model TOLD --class 99', /^--class must be from 0 to \d+ or a name of a class/],
  ['sample --model TOLD --guidance 2', /guidance needs a model that was trained with /],
  ['sample --model PLAIN --guidance 2', /guidance needs a model that was trained with /],
  ['sample --model PLAIN --guidance x', /^--guidance must be a number/],
  ['sample --model PLAIN --steps 21', /^--steps .*from 1 to 20.*; got 21/],
  ['sample --model PLAIN --from PHOTO --strength 1.5', /^--strength must be a number from 0 to 1; got 1\.5/],
  ['sample --model PLAIN --from PHOTO --strength -0.1', /^--strength must be a number from 0 to 1; got -0\.1/],
  ['sample --model PLAIN --strength 0.5', /^--strength .*--from/],
  ['sample --model PLAIN --mask PHOTO', /^--mask .*--from/],
  ['sample --model PLAIN --from PHOTO --mask SMALL', /^--mask.*6 x 6.*8 x 8/],
  ['sample --model PLAIN --from PHOTO --mask PHOTO --strength 0.5', /strength .*mask/],
  ['sample --model PLAIN --clip 0', /^--clip must be a number above 0.*; got 0/],
  ['sample --model PLAIN --sampler momentum --compat diffusers', /^--compat belongs to --sampler ddim or ddpm or/],
  ['train --data DATA --schedule linear --schedule-options zeroTerminalSnr=1 --predict eps', /'eps' .*alphaBar is 0/],
  [
    'train --data DATA --schedule cosine --schedule-options zeroTerminalSnr=1 --predict score',
    /'score' .*alphaBar is 0/,
  ],
  ['train --data DATA --schedule cosine --schedule-options zeroTerminalSnr=1 --predict edm', /'edm' tells the network/],
  ['train --data DATA --drop-class 0.1', /^--drop-class/],
];

describe('what does not fit is one line before anything is computed', () => {
  test.each(cases)('diffuse %s', async (text, message) => {
    const out = join(folder, text.startsWith('train') ? 'none' : 'none.png');
    const args = text.split(' ').map((part) => places[part] ?? part);
    const own = args[0] === 'train' ? [...tinyModel, '--cache-dir', join(folder, 'cache'), '--steps=1'] : [];
    const outcome = await run(...args, '--out', out, ...own);
    expect(outcome.stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(outcome.stderr.slice('diffuse: '.length)).toMatch(message);
    expect(outcome.code).toBe(2);
    expect(outcome.stdout).toBe('');
    await expect(access(out)).rejects.toThrow();
  });
});
