import type { ImageSource } from '@diffuse/core';
import { type ImageDataset, openImages } from '@diffuse/data';
import { usageError } from '../failure.ts';
import { type DrawOptions, drawSamples } from '../run/draw-samples.ts';
import { openData } from '../run/open-data.ts';
import { openChosenDevice } from '../run/open-device.ts';
import { openGuidance } from '../run/open-guidance.ts';
import { type OpenModel, openModel } from '../run/open-model.ts';
import { listenForStop } from '../run/stop-signal.ts';
import type { ChosenMetrics, EvaluateFlags } from '../settings/evaluate-settings.ts';
import { samplerFrom } from '../settings/sampler-settings.ts';
import type { Report } from '../terminal/report.ts';
import { evaluateDistances } from './distances.ts';
import { evaluateLikelihood } from './likelihood.ts';
import { type LoadOnnxRuntime, openFeatures } from './open-features.ts';

/** Images to draw unless a flag says otherwise. */
const defaultSamples = 10_000;

/**
 * Runs `diffuse evaluate`: opens what the flags name, computes the figures, reports them.
 *
 * @throws Failure, DiffuseError.
 */
export async function evaluate(
  flags: EvaluateFlags,
  { distances, likelihoods }: ChosenMetrics,
  report: Report,
  options: { readonly loadRuntime?: LoadOnnxRuntime } = {},
): Promise<void> {
  const stop = listenForStop(() => report.note('stopping'));
  const { signal } = stop;
  const open: (() => unknown)[] = [stop.dispose];
  try {
    const model = flags.model === undefined ? undefined : await openModelOf(flags, flags.model, report);
    const device = model?.device ?? (await openChosenDevice(flags, report));
    open.push(() => device.dispose());
    // What cannot be drawn is refused before anything else is computed.
    const draws = distances?.length !== 0 && flags.generated === undefined;
    const drawing = draws ? await prepareDrawing(flags, model as OpenModel) : undefined;
    const features =
      distances?.length === 0 ? undefined : await openFeatures(flags.features as string, { device, ...options });
    open.push(() => features?.close());
    const real = await openReal(flags, model, report, signal);
    open.push(() => real.close());
    const texts: string[] = [];
    if (likelihoods.length > 0) {
      checkLabels(model as OpenModel, real);
      const { images: count, timesteps, floorImages, seed, batchSize } = flags;
      const asked = { count, timesteps, floorImages, seed, batchSize, signal };
      const settings = { ...(model as OpenModel), data: real, ...asked };
      for (const metric of likelihoods) texts.push(await evaluateLikelihood(metric, settings, report));
    }
    if (features) {
      const generated = await generatedImages(flags, drawing, real, report, signal);
      open.push(generated.close);
      const { batchSize, seed } = flags;
      const compared = { real, generated: generated.images, network: features.network, batchSize, seed, signal };
      texts.unshift(await evaluateDistances({ ...compared, metrics: distances }, report));
    }
    report.event('done');
    report.result(texts.join('\n\n'));
  } finally {
    for (const close of open.reverse()) await close();
  }
}

/** A model that must be told a class needs the classes of the real images. @throws Failure */
function checkLabels({ model }: OpenModel, { labels }: ImageDataset): void {
  if (model.classes === null || model.nullClass !== null || labels) return;
  throw usageError('the model is told a class; say those of the images by --labels FILE or --classes folders');
}

/** The images to be judged: those of `--generated`, or drawn ones. */
async function generatedImages(
  flags: EvaluateFlags,
  drawing: DrawOptions | undefined,
  real: ImageDataset,
  report: Report,
  signal: AbortSignal,
): Promise<{ readonly images: ImageSource; close(): void }> {
  if (drawing) {
    return { images: await drawSamples({ ...drawing, signal }, report, { phase: 'sampling' }), close: () => undefined };
  }
  const images = await openGenerated(flags.generated as string, real, flags, signal);
  return { images, close: () => images.close() };
}

function openModelOf(flags: EvaluateFlags, directory: string, report: Report): Promise<OpenModel> {
  const { device, tf32, threads, precision, ema } = flags;
  return openModel(directory, { flag: '--model', device, tf32, threads, precision, ema, report });
}

/** The real images, at the model's size if there is a model. */
function openReal(
  { data, labels, classes, cacheDir }: EvaluateFlags,
  model: OpenModel | undefined,
  report: Report,
  signal: AbortSignal,
): Promise<ImageDataset> {
  const [height, width, channels] = model?.model.shape ?? [];
  return openData(
    {
      data,
      ...(labels !== undefined && { labels }),
      ...(classes !== undefined && { classes }),
      ...(cacheDir !== undefined && { cacheDir }),
      ...(model && { resolution: `${height}x${width}`, channels: channels as number }),
    },
    report,
    signal,
  );
}

/** A folder of generated images, at the size of the real ones. */
function openGenerated(
  path: string,
  { shape }: ImageDataset,
  { cacheDir }: EvaluateFlags,
  signal: AbortSignal,
): Promise<ImageDataset> {
  const [height, width, channels] = shape;
  return openImages(path, {
    resolution: [height, width],
    channels: channels as 1 | 3 | 4,
    ...(cacheDir !== undefined && { cacheDirectory: cacheDir }),
    signal,
  });
}

/** How the images to be judged are drawn: those that `diffuse sample` with the same flags would draw. */
async function prepareDrawing(flags: EvaluateFlags, opened: OpenModel): Promise<DrawOptions> {
  const { samples: count = defaultSamples, seed = 0, batchSize } = flags;
  const { model, diffusion, scheduler, device } = opened;
  const sampler = samplerFrom(flags, scheduler);
  sampler.plan(diffusion);
  if (sampler.learnedVariance && !model.learnedVariance) {
    throw usageError('--variance learned-range needs a model that predicts its variance; this one predicts none');
  }
  const guided = await openGuidance(flags, opened, count);
  return { model, diffusion, device, sampler, count, seed, batchSize, ...guided };
}
