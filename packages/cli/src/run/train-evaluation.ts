import {
  bitsPerDimension,
  type Classifier,
  classifierAccuracy,
  type Device,
  type Diffusion,
  ddim,
  evaluateImages,
  type ImageEvaluation,
  type ImageReference,
  imageReference,
  lossByLevel,
  type Network,
  sample,
  snapshot,
  type UNet2D,
} from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { type OpenFeatures, openFeatures } from '../evaluate/open-features.ts';
import { messageOf, usageError } from '../failure.ts';
import { labelsFrom } from '../settings/sampler-settings.ts';
import {
  chooseTrainMetrics,
  evaluationDefaults,
  isImageMetric,
  type TrainMetric,
} from '../settings/train-evaluation-settings.ts';
import type { TrainSettings } from '../settings/train-settings.ts';
import type { Report } from '../terminal/report.ts';
import { openData } from './open-data.ts';

/** What an evaluation judges: the model that is trained, by its kind. */
export type Judged =
  | { readonly kind: 'denoiser'; readonly model: UNet2D; readonly diffusion: Diffusion }
  | { readonly kind: 'classifier'; readonly model: Classifier };

/** Figures of a model by their names, as they stand in `metrics.jsonl`. */
export type EvaluationFigures = Readonly<Record<string, unknown>>;

/** Evaluations of a model that is trained, with all that they need open. */
export interface TrainEvaluation {
  /**
   * Judges the model as it is at the moment of the call, whatever training makes of it meanwhile. The same weights have the same
   * figures: images and noise are the same every time.
   */
  evaluate(signal: AbortSignal): Promise<EvaluationFigures>;
  close(): Promise<void>;
}

/** Parts of a run that {@link openTrainEvaluation} looks at. */
export interface EvaluationParts {
  readonly judged: Judged;
  /** What is trained on. */
  readonly data: ImageDataset;
  readonly device: Device;
}

/** Noise levels that the loss is the mean of, and that the bound is estimated from. */
const levels = 10;
const boundTimesteps = 20;
/** Steps of the sampler of the images to be judged. */
const samplerSteps = 25;
/** All evaluations look at the same images with the same noise, so that what differs is the model. */
const seed = 0;

/**
 * Opens what the settings ask to be measured, so that a wrong path is told before the training begins.
 *
 * @returns undefined where nothing is asked for.
 * @throws Failure, DiffuseError `ERR_DATA`, `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY`, `ERR_CANCELLED`.
 */
export async function openTrainEvaluation(
  settings: TrainSettings,
  { judged, data: trainingData, device }: EvaluationParts,
  report: Report,
  signal: AbortSignal,
): Promise<TrainEvaluation | undefined> {
  const metrics = chooseTrainMetrics(settings);
  if (metrics.length === 0) return undefined;
  const ownData = await openEvaluationData(settings, trainingData, report, signal);
  const data = ownData ?? trainingData;
  const { evalFeatures } = settings;
  let features: OpenFeatures | undefined;
  try {
    features = evalFeatures === undefined ? undefined : await openFeatures(evalFeatures, { device });
  } catch (error) {
    ownData?.close();
    throw usageError(messageOf(error).replace(/^--features/, '--eval-features'), { cause: error });
  }
  report.note(
    `every ${settings.evalEvery} steps: ${metrics.join(', ')} on ${data.name}${ownData ? '' : ', which is trained on'}`,
  );
  const tools = { settings, data, device, features, metrics, reference: undefined };
  return {
    evaluate: (stop) =>
      judged.kind === 'classifier' ? accuracy(judged.model, tools, stop) : judge(judged, tools, stop),
    async close() {
      await features?.close();
      ownData?.close();
    },
  };
}

/** The images of `--eval-data`, of the same size and classes as those that are trained on. @throws Failure */
async function openEvaluationData(
  settings: TrainSettings,
  { shape, classNames }: ImageDataset,
  report: Report,
  signal: AbortSignal,
): Promise<ImageDataset | undefined> {
  const { evalData, evalLabels, classes, cacheDir } = settings;
  if (evalData === undefined) return undefined;
  const labelled = classes !== 'none';
  if (classes === 'labels' && evalLabels === undefined) {
    throw usageError('--eval-data needs --eval-labels FILE: the model is trained with the labels of an IDX file');
  }
  const [height, width, channels] = shape;
  const data = await openData(
    {
      data: evalData,
      ...(labelled && { classes: classes as 'folders' | 'labels' }),
      ...(evalLabels !== undefined && { labels: evalLabels }),
      ...(cacheDir !== undefined && { cacheDir }),
      resolution: `${height}x${width}`,
      channels,
    },
    report,
    signal,
  );
  const [known, found] = [classNames ?? [], data.classNames ?? []];
  if (labelled && found.some((name, i) => name !== known[i])) {
    data.close();
    throw usageError(`--eval-data must have the classes of --data, ${some(known)}; it has ${some(found)}`);
  }
  return data;
}

function some(names: readonly string[]): string {
  return `${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
}

/** What the figures are computed with. */
interface Tools {
  readonly settings: TrainSettings;
  readonly data: ImageDataset;
  readonly device: Device;
  readonly features: OpenFeatures | undefined;
  readonly metrics: readonly TrainMetric[];
  /** The real images as the feature network sees them, once they were looked at. */
  reference: ImageReference | undefined;
}

/** Calls `measure` with the model as it is now. */
async function frozen<M extends Network, T>(model: M, measure: (model: M) => Promise<T>): Promise<T> {
  const copy = await snapshot(model);
  try {
    return await measure(copy.model);
  } finally {
    copy.dispose();
  }
}

function accuracy(model: Classifier, { data, device }: Tools, signal: AbortSignal): Promise<EvaluationFigures> {
  return frozen(model, async (now) => ({ accuracy: await classifierAccuracy(now, device, data, { signal }) }));
}

function judge(
  { model, diffusion }: Extract<Judged, { kind: 'denoiser' }>,
  tools: Tools,
  signal: AbortSignal,
): Promise<EvaluationFigures> {
  const { settings, data, device, metrics } = tools;
  const { batchSize, evalImages = evaluationDefaults.images } = settings;
  return frozen(model, async (now) => {
    const count = Math.min(evalImages, data.count);
    const common = { model: now, diffusion, device, data, count, seed, batchSize, signal };
    const loss = metrics.includes('loss') ? await lossFigures(common) : {};
    const bound = metrics.includes('bpd') ? await boundFigures(common) : {};
    const images = metrics.some(isImageMetric) ? await imageFigures(now, diffusion, tools, signal) : {};
    return { ...loss, ...bound, ...images };
  });
}

type NetworkOptions = Parameters<typeof lossByLevel>[0];

/** The loss that training makes small, as the mean over noise levels that lie in the middle of equal parts of all. */
async function lossFigures(options: NetworkOptions): Promise<EvaluationFigures> {
  const { steps } = options.diffusion;
  const parts = Math.min(levels, steps);
  const timesteps = Array.from({ length: parts }, (_, i) => Math.floor(((i + 0.5) * steps) / parts));
  const found = (await lossByLevel({ ...options, timesteps })).levels;
  const loss = found.reduce((sum, { prediction, weight }) => sum + weight * prediction.mean, 0) / found.length;
  return { loss, levels: found.map(({ t, sigma, eps, x0 }) => ({ t, sigma, eps: eps.mean, x0: x0.mean })) };
}

async function boundFigures(options: NetworkOptions): Promise<EvaluationFigures> {
  const timesteps = Math.min(boundTimesteps, options.diffusion.steps);
  return { bpd: (await bitsPerDimension({ ...options, timesteps })).total.mean };
}

async function imageFigures(
  model: UNet2D,
  diffusion: Diffusion,
  tools: Tools,
  signal: AbortSignal,
): Promise<EvaluationFigures> {
  const { settings, data, device, features } = tools;
  const { batchSize, evalSamples: count = evaluationDefaults.samples } = settings;
  const { network } = features as OpenFeatures;
  const metrics = tools.metrics.filter(isImageMetric);
  // A feature network has a batch size of its own: that of the training may be far too small for it.
  const common = { network, metrics, signal };
  tools.reference ??= await imageReference({ ...common, real: data });
  const sampler = ddim({ steps: Math.min(samplerSteps, diffusion.steps), spacing: 'trailing' });
  const labels = labelsFrom(undefined, count, model);
  const { images, shape } = await sample({ model, diffusion, device, sampler, count, seed, labels, batchSize, signal });
  const generated = { data: images, shape: shape as readonly [number, number, number, number] };
  return shortFigures(await evaluateImages({ ...common, real: tools.reference, generated, seed }));
}

/** The figures by the names of their flags. */
function shortFigures(evaluation: ImageEvaluation): EvaluationFigures {
  const { frechetDistance: fid, kernelDistance: kid, inceptionScore, precisionRecall: shares } = evaluation;
  return {
    ...(fid !== undefined && { fid }),
    ...(kid && { kid: kid.mean }),
    ...(inceptionScore && { is: inceptionScore.mean }),
    ...(shares && {
      precision: shares.precision,
      recall: shares.recall,
      density: shares.density,
      coverage: shares.coverage,
    }),
  };
}

const figureNames: Readonly<Record<string, string>> = { bpd: 'bits/dim', fid: 'FID', kid: 'KID', is: 'IS' };

/** Figures as a line for people: `loss 0.03121, FID 12.31`. */
export function figuresText(figures: EvaluationFigures): string {
  return Object.entries(figures)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => `${figureNames[name] ?? name} ${(value as number).toPrecision(4)}`)
    .join(', ');
}
