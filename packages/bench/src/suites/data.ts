import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { imageFolder, saveImages } from '@diffuse/data';
import { alternate } from '../alternate.ts';
import { askedBounds, goal } from '../asked.ts';
import { dataSession } from '../ours/data-session.ts';
import { noiseBytes } from '../ours/train-session.ts';
import { openSharp } from '../peers/sharp.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import { inFolder } from '../temporary-folder.ts';
import { type BenchContext, compareWithPeer, type Suite } from './suite.ts';

/** Whether data keep up with training, and with the library that decodes them. */
export const dataSuite: Suite = {
  name: 'data',
  cpuOnly: true,
  description: '32x32 images from the packed cache with flips; decoding a folder, beside sharp alone',
  cases: (context) => [
    { name: 'packed cache in memory', measure: () => measureCache(context, 'packed cache in memory', undefined) },
    { name: 'packed cache on disk', measure: () => measureCache(context, 'packed cache on disk', 0) },
    { name: 'decoding a folder', measure: () => measureDecoding(context) },
  ],
};

/** Images of a batch and batches of a measurement. */
const cacheRun = { batch: 64, batches: 50 };

/** @param memoryBytes of the data set; 0 leaves it in its file. */
async function measureCache(context: BenchContext, name: string, memoryBytes: number | undefined): Promise<CaseResult> {
  const { quick, device, precision } = context;
  return inFolder(async (folder) => {
    const count = quick ? 500 : 5000;
    await saveImages(join(folder, 'images'), { data: noiseBytes(count * 32 * 32 * 3), shape: [count, 32, 32, 3] });
    const options = { cacheDirectory: join(folder, 'cache'), ...(memoryBytes !== undefined && { memoryBytes }) };
    using data = await imageFolder(join(folder, 'images'), options);
    const session = await dataSession(data, cacheRun, device);
    try {
      const times = await alternate(session, undefined, { rounds: quick ? 5 : 15 });
      const ours = { ...timing(times.ours), peakBytes: session.peakBytes };
      const imagesPerSecond = (cacheRun.batch * cacheRun.batches) / (ours.medianMs / 1000);
      return {
        ...{ suite: 'data', name, precision, ours, otherCores: times.otherCores },
        goals: [goal('images/s', imagesPerSecond, askedBounds.pipeline)],
      };
    } finally {
      session.dispose();
    }
  });
}

/** Sides in pixels of the files and of what they become. */
const decoding = { fileSide: 512, side: 128 };

/** Ours also hashes the files, looks for their cache and writes it. */
async function measureDecoding(context: BenchContext): Promise<CaseResult> {
  const { quick, device } = context;
  const sharp = await openSharp(device.threads);
  try {
    return await inFolder(async (folder) => {
      const images = join(folder, 'images');
      await sharp.makeImages(images, quick ? 100 : 500, decoding.fileSide);
      let caches = 0;
      const run = async (): Promise<number> => {
        const cacheDirectory = join(folder, `cache ${caches++}`);
        const begin = performance.now();
        using data = await imageFolder(images, { resolution: decoding.side, channels: 3, cacheDirectory });
        const ms = performance.now() - begin;
        if (data.statistics.fromCache) throw new TypeError('the images were not decoded');
        return ms;
      };
      return await compareWithPeer(
        { ...context, peers: [sharp] },
        {
          ...{ suite: 'data', name: 'decoding a folder', ours: { pid: process.pid, peakBytes: 0, run } },
          work: { kind: 'decode', folder: images, side: decoding.side },
          rounds: quick ? 3 : 7,
          asked: askedBounds.decoding,
        },
      );
    });
  } finally {
    await sharp.close();
  }
}
