import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { benchConfigs, selectConfigs } from '../src/configs.ts';
import { dataSession } from '../src/ours/data-session.ts';
import { forwardSession } from '../src/ours/forward-session.ts';
import { trainFlags } from '../src/ours/train-flags.ts';
import { noiseImages } from '../src/ours/train-session.ts';
import { openSharp } from '../src/peers/sharp.ts';
import { suites } from '../src/suites/index.ts';
import type { BenchContext } from '../src/suites/suite.ts';
import { inFolder } from '../src/temporary-folder.ts';

const context: BenchContext = {
  ...{ device: { threads: 1 }, quick: true, peers: [], peakGflops: undefined },
  ...{ precision: 'fp32', configs: benchConfigs() },
};
const names = (suite: string, given: BenchContext = context): readonly string[] =>
  suites
    .find(({ name }) => name === suite)
    ?.cases(given)
    .map(({ name }) => name) ?? [];

test('every case of every suite has a name of its own', () => {
  for (const { name } of suites) expect(new Set(names(name)).size).toBe(names(name).length);
});

test('scaling looks at M, or at what was asked for instead', () => {
  const cases = ['2 threads', 'batch 64', '64x64', '128x128'];
  expect(names('scaling')).toEqual(cases.map((name) => `M, training step, ${name}`));
  expect(names('scaling', { ...context, configs: selectConfigs(['S']) })[0]).toBe('S, training step, 2 threads');
});

test('the ops and blocks are those of the networks', () => {
  expect(names('block')).toEqual(['16x32x32x128', '16x16x16x256', '16x8x8x256']);
  expect(names('ops')).toContain('attention forward and backward 16x64x256, heads 1');
  expect(names('ops')).toContain('clip + AdamW + EMA, 35746307 parameters');
});

test('in bf16 only ops with images are of interest', () => {
  const bf16 = names('ops', { ...context, precision: 'bf16' });
  expect(names('ops').filter((name) => !bf16.includes(name))).toEqual([
    'matmul 1024x1024x1024',
    'clip + AdamW + EMA, 35746307 parameters',
  ]);
});

const [tiny] = selectConfigs(['S']).map((config) => ({
  ...config,
  batch: 2,
  diffusers: { ...config.diffusers, sample_size: 8, block_out_channels: [32, 32, 32] },
}));
if (!tiny) throw new Error('there is no configuration S');

test('a forward pass takes time and memory', async () => {
  const session = await forwardSession(tiny, 2, { threads: 1 });
  expect(await session.run()).toBeGreaterThan(0);
  expect(session.peakBytes).toBeGreaterThan(1e5);
  session.dispose();
});

test('batches go from a data set to the device', async () => {
  const session = await dataSession(noiseImages([8, 8, 3], 10), { batch: 4, batches: 3 }, { threads: 1 });
  expect(await session.run()).toBeGreaterThan(0);
  session.dispose();
});

test('the command line tool is asked for the same network', async () => {
  await inFolder(async (folder) => {
    const flags = await trainFlags(tiny, folder, 1);
    expect(readdirSync(join(folder, 'images'))).toHaveLength(2);
    expect(flags.join(' ')).toContain('--model-channels 32,32,32 --layers 2 --attention 2 --batch-size 2 --steps 1');
  });
});

test('sharp alone decodes a folder', async () => {
  await inFolder(async (folder) => {
    const sharp = await openSharp(1);
    try {
      await sharp.makeImages(folder, 3, 32);
      expect(readdirSync(folder)).toHaveLength(3);
      const prepared = await sharp.prepare({ kind: 'decode', folder, side: 16 });
      expect(await prepared.run()).toBeGreaterThan(0);
      expect(Object.keys(prepared.tried ?? {})).toEqual(['all threads an image', 'a thread an image']);
      await prepared.release();
    } finally {
      await sharp.close();
    }
  });
});
