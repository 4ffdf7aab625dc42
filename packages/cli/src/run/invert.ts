import { ddim, ddimInversion, type ImageBatch, samplers } from '@diffuse/core';
import { usageError } from '../failure.ts';
import type { DrawingSettings } from '../settings/drawing-settings.ts';
import { kebabCase } from '../settings/kinds.ts';
import { labelsFrom, samplerFrom } from '../settings/sampler-settings.ts';
import type { Report } from '../terminal/report.ts';
import { type DrawOptions, drawSamples } from './draw-samples.ts';
import { type EditFlags, readModelImage, repeated } from './given-images.ts';
import { checkWeight } from './open-guidance.ts';
import type { OpenModel } from './open-model.ts';

/** The flags of an inversion. */
export interface InvertFlags {
  invert?: string;
  invertClass?: string;
}

/** What {@link drawInverted} is told, besides the image. */
export interface InvertRequest extends InvertFlags, EditFlags, DrawingSettings {
  count?: number;
  seed?: number;
  batchSize?: number;
}

/** What became of an image on its way to noise and back. */
export interface Inversion {
  /** The images that were asked for. */
  readonly images: ImageBatch;
  /** Mean squared difference of the image and its reconstruction, of values in [0, 1]. */
  readonly error: number;
  /** Standard deviation of the noise that the image comes from; that of noise drawn at random is 1. */
  readonly deviation: number;
}

/**
 * What does not go with `--invert`; checked before anything is opened.
 *
 * @throws Failure naming the flag.
 */
export function checkInvert(flags: InvertRequest): void {
  const { invert, invertClass, sampler = 'ddim' } = flags;
  if (invert === undefined) {
    if (invertClass !== undefined) throw usageError('--invert-class says what an image shows: it needs --invert IMAGE');
    return;
  }
  const others = ['from', 'strength', 'mask', 'resamples', 'jump', 'compat', 'guide', 'classifier'] as const;
  const other = others.find((name) => flags[name] !== undefined);
  if (other !== undefined) throw usageError(`--invert and --${kebabCase(other)} do not go together`);
  if (sampler !== 'ddim')
    throw usageError(`--invert takes the way of --sampler ddim back and forth, not of ${sampler}`);
}

/**
 * Goes from an image to the noise that DDIM makes it from (Song et al. 2021, section 4.3, arXiv:2010.02502), from there back, and once
 * more under another class, with guidance or with fresh noise (`--eta`) where flags ask for an edit. Estimates are not clipped unless
 * `--clip` says so: what is clipped on the way there cannot be found on the way back.
 *
 * @throws Failure for a class that is missing or not known; DiffuseError `ERR_DATA` for a file that is no image, `ERR_ARGUMENT`.
 */
export async function drawInverted(
  flags: InvertRequest & { readonly invert: string },
  { model, diffusion, scheduler, classNames, device }: OpenModel,
  report: Report,
  signal: AbortSignal,
): Promise<Inversion> {
  const { spacing = samplers.ddim.spacing, clip = Infinity, eta = 0, guidance, seed = 0, batchSize } = flags;
  checkWeight(guidance, model);
  const sampler = samplerFrom({ ...flags, spacing, clip }, scheduler);
  const steps = sampler.steps as number;
  const known = { classes: model.classes, classNames };
  const source = sourceLabel(flags, model, known);
  const one = { model, diffusion, device, count: 1, labels: source && [source.label], batchSize, signal };
  const inversion = ddimInversion({ steps, spacing, clip });
  const image = await readModelImage(flags.invert, model.shape);
  const back = ddim({ steps, spacing, clip, eta: 0 });
  const draw = async (options: DrawOptions, task: string): Promise<ImageBatch> =>
    drawSamples(options, report, { task, phase: task });
  const noise = (await draw({ ...one, sampler: inversion, given: { images: image } }, 'inverting'))
    .data as Float32Array;
  const again = await draw({ ...one, sampler: back, start: noise }, 'reconstructing');
  const found = { error: meanSquare(image, again.data as Float32Array), deviation: deviationOf(noise) };

  const edits = flags.class !== undefined || (guidance !== undefined && guidance !== 1) || eta > 0;
  const count = flags.count ?? flags.class?.split(',').length ?? 1;
  if (!edits && count === 1) return { images: again, ...found };
  const labels = flags.class === undefined ? source && new Int32Array(count).fill(source.label) : undefined;
  const images = await draw(
    {
      ...one,
      sampler,
      count,
      seed,
      guidance,
      labels: labels ?? labelsFrom(flags.class, count, known),
      start: repeated(noise, count),
    },
    'sampling',
  );
  return { images, ...found };
}

/** The class under which the image is inverted; undefined for models that are told none. */
function sourceLabel(
  { invertClass }: InvertFlags,
  { nullClass }: OpenModel['model'],
  known: Parameters<typeof labelsFrom>[2],
): { readonly label: number } | undefined {
  if (invertClass !== undefined) {
    const [label] = labelsFrom(invertClass, 1, known, '--invert-class') ?? [];
    return label === undefined ? undefined : { label };
  }
  if (known.classes === null) return undefined;
  if (nullClass !== null) return { label: nullClass };
  throw usageError('--invert needs --invert-class: this model is told a class; say which one the image shows');
}

/** Of values in [0, 1]; samples are cut off there, as in a file. */
function meanSquare(image: Float32Array, again: Float32Array): number {
  const squares = image.reduce((sum, value, i) => {
    const limited = Math.min(1, Math.max(-1, again[i] as number));
    return sum + ((limited - value) / 2) ** 2;
  }, 0);
  return squares / image.length;
}

function deviationOf(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
