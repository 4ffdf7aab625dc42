import { extname } from 'node:path';
import { type ImageBatch, precisions, samplers, spacings } from '@diffuse/core';
import type { Command } from '../command.ts';
import { usageError } from '../failure.ts';
import type { EditFlags } from '../run/given-images.ts';
import type { Inversion, InvertFlags } from '../run/invert.ts';
import type { OpenModel } from '../run/open-model.ts';
import { checkGuidanceFlags } from '../settings/drawing-settings.ts';
import { integer, number, type SettingTable, text } from '../settings/kinds.ts';
import { batchSizeSetting, type SamplerSettings, samplerFrom, samplerSettings } from '../settings/sampler-settings.ts';
import type { Report } from '../terminal/report.ts';

/** The flags of `sample`. */
export interface SampleFlags extends SamplerSettings, EditFlags, InvertFlags {
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
    description: 'how often each --jump steps are taken, so that the new part fits the old',
    group: editing,
    defaultText: '10',
  },
  jump: {
    kind: integer(1),
    description: 'steps that are taken again and again',
    group: editing,
    defaultText: '10',
  },
  invert: {
    kind: text('an image'),
    description: 'find the noise that ddim makes this image from, draw from it, and tell how well that gives it back',
    group: editing,
  },
  invertClass: {
    kind: text('the number or name of a class'),
    description: 'what the image of --invert shows; --class then says what shall become of it',
    group: editing,
    defaultText: 'none, for models with --drop-class',
  },
  batchSize: batchSizeSetting,
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadGivenImages = () => import('../run/given-images.ts');
const loadOpenGuidance = () => import('../run/open-guidance.ts');
const loadInvert = () => import('../run/invert.ts');
const loadDrawSamples = () => import('../run/draw-samples.ts');
const loadStopSignal = () => import('../run/stop-signal.ts');

/** `diffuse sample`. */
export const sampleCommand: Command<SampleFlags> = {
  name: 'sample',
  summary: 'draw images from a model',
  settings,
  sections: [
    ['Samplers:', samplers],
    ['Spacings:', spacings],
    ['Number formats:', precisions],
  ],
  examples: [
    ['diffuse sample --model runs/digits --out digits.png -n 64', 'one picture'],
    ['diffuse sample --model runs/digits --out digits/ -n 1000 --class 7', 'a folder of files'],
    ['diffuse sample --model runs/photos --out new.png --from sketch.png --strength 0.7', 'from an image'],
    ['diffuse sample --model runs/kinds --out dog.png --invert cat.png --invert-class cat --class dog', 'an edit'],
  ],
  async run(values, { report }) {
    const flags = values as SampleFlags;
    checkOut(flags.out);
    checkGuidanceFlags(flags);
    if (flags.invert !== undefined || flags.invertClass !== undefined) (await loadInvert()).checkInvert(flags);
    const { openModel } = await loadOpenModel();
    const { listenForStop } = await loadStopSignal();
    const { device, tf32, threads, precision, ema, out } = flags;
    const opened = await openModel(flags.model, { flag: '--model', device, tf32, threads, precision, ema, report });
    using _device = opened.device;
    const stop = listenForStop(() => report.note('stopping'));
    try {
      const { invert } = flags;
      const inversion =
        invert === undefined
          ? undefined
          : await (await loadInvert()).drawInverted({ ...flags, invert }, opened, report, stop.signal);
      const { data, shape } = inversion?.images ?? (await draw(flags, opened, report, stop.signal));
      const files = await save(out, data as Float32Array, shape);
      if (inversion) tellInversion(inversion, report);
      report.event('done', { out, files, count: shape[0], shape });
      report.result(files === undefined ? out : `${files} ${files === 1 ? 'image' : 'images'} in ${out}`);
    } finally {
      stop.dispose();
    }
  },
};

async function draw(flags: SampleFlags, opened: OpenModel, report: Report, signal: AbortSignal): Promise<ImageBatch> {
  const { drawSamples } = await loadDrawSamples();
  const { openGuidance } = await loadOpenGuidance();
  const { readEdit, checkEdit } = await loadGivenImages();
  const { count = 16, seed = 0, batchSize } = flags;
  const { model, diffusion, scheduler, device } = opened;
  const sampler = samplerFrom(flags, scheduler);
  const guided = await openGuidance(flags, opened, count);
  const edit = await readEdit(flags, model, count);
  checkEdit(edit, sampler, diffusion, report);
  const options = { model, diffusion, device, sampler, count, seed, batchSize, signal };
  return drawSamples({ ...options, ...guided, ...edit }, report);
}

/** How well an image came back from its noise: `error` as in table 2 of the paper of DDIM, and in decibels. */
function tellInversion({ error, deviation }: Inversion, report: Report): void {
  const decibels = error > 0 ? `${(-10 * Math.log10(error)).toFixed(1)} dB` : 'exact';
  report.event('inversion', { error, deviation });
  report.result(
    `reconstruction error ${error.toPrecision(3)} (mean square of values in [0, 1]; ${decibels}); ` +
      `the noise found has deviation ${deviation.toPrecision(3)}`,
  );
}

const gridEndings: readonly string[] = ['.png', '.webp'];

/** Endings of pictures and films that are not written: a folder of such a name is hardly what is meant. */
const otherEndings: readonly string[] = ['.jpg', '.jpeg', '.gif', '.avif', '.tif', '.tiff', '.bmp', '.svg', '.mp4'];

/** @throws Failure for the name of a picture of a kind that is not written. */
function checkOut(out: string): void {
  if (!otherEndings.includes(extname(out).toLowerCase())) return;
  throw usageError(`--out must end in ${gridEndings.join(' or ')}, or be a folder; got '${out}'`);
}

/** Writes a grid, or one file an image; returns the number of files of a folder. */
async function save(out: string, data: Float32Array, shape: ImageBatch['shape']): Promise<number | undefined> {
  const { saveImageGrid, saveImages } = await import('@diffuse/data');
  const { gridScale } = await import('../run/preview.ts');
  if (gridEndings.includes(extname(out).toLowerCase())) {
    await saveImageGrid(out, { data, shape }, { scale: gridScale(shape[1]) });
    return undefined;
  }
  return (await saveImages(out, { data, shape })).length;
}
