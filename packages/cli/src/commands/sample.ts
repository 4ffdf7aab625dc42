import { extname } from 'node:path';
import { samplers, spacings } from '@diffuse/core';
import type { Command } from '../command.ts';
import type { EditFlags } from '../run/given-images.ts';
import { integer, number, type SettingTable, text } from '../settings/kinds.ts';
import { labelsFrom, type SamplerSettings, samplerFrom, samplerSettings } from '../settings/sampler-settings.ts';

import type { Progress } from '../terminal/progress.ts';

/** The flags of `sample`. */
export interface SampleFlags extends SamplerSettings, EditFlags {
  out: string;
  count?: number;
  batchSize?: number;
}

const { model, ...others } = samplerSettings;
const editing = 'Editing:';

const settings: SettingTable<SampleFlags> = {
  model,
  out: {
    kind: text('a file or folder'),
    description: 'a grid, ending in .png or .webp; any other name is a folder that gets one file an image',
    group: 'Sampling:',
    required: true,
  },
  count: { kind: integer(1), description: 'number of images', group: 'Sampling:', alias: 'n', defaultText: '16' },
  ...others,
  from: { kind: text('an image'), description: 'begin at this image instead of noise', group: editing },
  strength: {
    kind: number('from 0 to 1', { minimum: 0, maximum: 1 }),
    description: 'how far the image is noised first: 0 leaves it, 1 leaves nothing of it',
    group: editing,
    defaultText: '0.6',
  },
  mask: {
    kind: text('an image'),
    description: 'white keeps the image, black is drawn anew; of the size of the images',
    group: editing,
  },
  resamples: {
    kind: integer(1, 1000),
    description: 'how often each ten steps are taken, so that the new part fits the old',
    group: editing,
    defaultText: '10',
  },
  batchSize: {
    kind: integer(1, 65_536),
    description: 'images computed at once; the images do not depend on it',
    group: 'Run:',
    defaultText: '64',
  },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadGivenImages = () => import('../run/given-images.ts');
const loadStopSignal = () => import('../run/stop-signal.ts');

/** `diffuse sample`. */
export const sampleCommand: Command<SampleFlags> = {
  name: 'sample',
  summary: 'draw images from a model',
  settings,
  sections: [
    ['Samplers:', samplers],
    ['Spacings:', spacings],
  ],
  examples: [
    ['diffuse sample --model runs/digits --out digits.png -n 64', 'one picture'],
    ['diffuse sample --model runs/digits --out digits/ -n 1000 --class 7', 'a folder of files'],
    ['diffuse sample --model runs/photos --out new.png --from sketch.png --strength 0.7', 'from an image'],
  ],
  async run(values, { report }) {
    const flags = values as SampleFlags;
    const { sample } = await import('@diffuse/core');
    const { openModel } = await loadOpenModel();
    const { listenForStop } = await loadStopSignal();
    const { count = 16, seed = 0, batchSize, out } = flags;
    const { model, diffusion, scheduler, classNames, device } = await openModel(flags.model, {
      flag: '--model',
      device: flags.device,
      threads: flags.threads,
      ema: flags.ema,
    });
    using _device = device;
    const sampler = samplerFrom(flags, scheduler);
    const labels = labelsFrom(flags.class, count, { classes: model.classes, classNames });
    const edit = await (await loadGivenImages()).readEdit(flags, model, count);
    let progress: Progress | undefined;
    const stop = listenForStop(() => report.note('stopping'));
    try {
      const { images, shape } = await sample({
        model,
        diffusion,
        device,
        sampler,
        count,
        seed,
        labels,
        guidance: flags.guidance,
        ...edit,
        ...(batchSize !== undefined && { batchSize }),
        signal: stop.signal,
        onStep: ({ done, total }) => {
          progress ??= report.progress('sampling', total);
          progress.update(done);
          report.event('progress', { done, total });
        },
      });
      progress?.end();
      const files = await save(out, images, shape as readonly [number, number, number, number]);
      report.event('done', { out, files, count, shape });
      report.result(files === undefined ? out : `${files} images in ${out}`);
    } finally {
      progress?.end();
      stop.dispose();
    }
  },
};

/** Writes a grid, or one file an image; returns the number of files of a folder. */
async function save(
  out: string,
  data: Float32Array,
  shape: readonly [count: number, height: number, width: number, channels: number],
): Promise<number | undefined> {
  const { saveImageGrid, saveImages } = await import('@diffuse/data');
  const { gridScale } = await import('../run/preview.ts');
  if (['.png', '.webp'].includes(extname(out).toLowerCase())) {
    await saveImageGrid(out, { data, shape }, { scale: gridScale(shape[1]) });
    return undefined;
  }
  return (await saveImages(out, { data, shape })).length;
}
