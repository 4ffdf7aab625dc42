import { DiffuseError } from '../native/errors.ts';
import { type CollectedFeatures, type CollectOptions, collectFeatures } from './collect-features.ts';
import type { FeatureNetwork } from './feature-network.ts';
import type { FeatureStatistics } from './feature-statistics.ts';
import { checkWhole, chooseVectors, type FeatureVectors } from './feature-vectors.ts';
import { frechetDistance, frechetWarning } from './frechet-distance.ts';
import { countOf, type ImageSource } from './image-source.ts';
import { type InceptionScore, inceptionScore } from './inception-score.ts';
import { type KernelDistance, kernelDistance } from './kernel-distance.ts';
import type { PaceOptions } from './pace.ts';
import { type PrecisionRecall, precisionRecall } from './precision-recall.ts';

/** A figure of {@link evaluateImages}, by its short name. */
export type ImageMetric = 'fid' | 'kid' | 'is' | 'pr';

/** Every {@link ImageMetric}. */
export const imageMetrics: Readonly<Record<ImageMetric, { readonly description: string }>> = {
  fid: { description: 'Fréchet distance of the features' },
  kid: { description: 'kernel distance of the features, without bias' },
  is: { description: 'Inception score of the generated images; needs a network with classes' },
  pr: { description: 'precision and recall, density and coverage, among nearest neighbours' },
};

/** How far {@link evaluateImages} has come. */
export interface ImageEvaluationProgress {
  readonly phase: 'real' | 'generated' | 'distances';
  /** Images looked at, or figures computed. */
  readonly done: number;
  /** Of so many; absent when the images are still being made. */
  readonly total?: number;
}

/** Real images that a feature network has looked at, to be compared with again and again; {@link imageReference} makes one. */
export interface ImageReference {
  /** The network that looked; others see other features. */
  readonly network: FeatureNetwork;
  /** What is kept of each image. */
  readonly features: CollectedFeatures;
}

/** Options of {@link imageReference}; each as in {@link EvaluateImagesOptions}. */
export interface ImageReferenceOptions extends PaceOptions {
  readonly real: ImageSource;
  readonly network: FeatureNetwork;
  /** The figures that will be asked for; default all. */
  readonly metrics?: readonly ImageMetric[];
  readonly batchSize?: number;
  readonly onProgress?: ((progress: ImageEvaluationProgress) => void) | undefined;
}

/** Options of {@link evaluateImages}. */
export interface EvaluateImagesOptions extends PaceOptions {
  readonly real: ImageSource | ImageReference;
  readonly generated: ImageSource;
  readonly network: FeatureNetwork;
  /** Default all that the network can give. */
  readonly metrics?: readonly ImageMetric[];
  /** Images that the network looks at in one go; default 64. */
  readonly batchSize?: number;
  /** Decides the subsets of the kernel distance and of precision and recall. */
  readonly seed?: number;
  /** Precision and recall are computed with so many images of each set at most, since their time is quadratic; default 10000. */
  readonly neighbourImages?: number;
  /** Which nearest neighbour bounds a ball of precision and recall; default 3. */
  readonly neighbours?: number;
  /** Parts of the Inception score; default 10, or the number of images if there are fewer. */
  readonly splits?: number;
  readonly onProgress?: ((progress: ImageEvaluationProgress) => void) | undefined;
}

/** What {@link evaluateImages} found. A figure that was not asked for is absent. */
export interface ImageEvaluation {
  /** Name and dimensions of the feature network, without which the figures mean nothing. */
  readonly network: string;
  readonly dimensions: number;
  readonly realCount: number;
  readonly generatedCount: number;
  readonly frechetDistance?: number;
  readonly kernelDistance?: KernelDistance;
  readonly inceptionScore?: InceptionScore;
  readonly precisionRecall?: PrecisionRecall & {
    readonly neighbours: number;
    readonly realCount: number;
    readonly generatedCount: number;
  };
  /** What must be said of the figures, such as too few images. */
  readonly warnings: readonly string[];
}

/**
 * Compares generated images with real ones in the eyes of a feature network. Images are looked at batch by batch; their features
 * are kept only if a figure needs them all (`kid`, `pr`).
 *
 * Floats of generated images are rounded to bytes before, as saving them would.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for options, for too few images, and for `is` without classes; `ERR_SHAPE` when the two sets
 *   have other shapes or the network is not what it says; `ERR_NON_FINITE` for features with NaN; `ERR_CANCELLED`; what the sources
 *   and the network throw.
 */
export async function evaluateImages(options: EvaluateImagesOptions): Promise<ImageEvaluation> {
  const { network, signal, onProgress } = options;
  const { metrics, batchSize, seed, neighbourImages, neighbours } = checkedOptions(options);
  const wants = (metric: ImageMetric): boolean => metrics.includes(metric);
  const given = isReference(options.real) ? options.real.features : undefined;
  const look = { ...options, metrics, batchSize };
  const real = given ?? (await lookAt('real', options.real as ImageSource, look));
  const generated = await lookAt('generated', options.generated, look);
  checkShapes(real, generated);

  const [a, b] = [real.vectors as FeatureVectors, generated.vectors as FeatureVectors];
  const warning = frechetWarning([real.count, generated.count], network.dimensions);
  const compute: Record<ImageMetric, () => Promise<Partial<ImageEvaluation>>> = {
    fid: async () => {
      const statistics = [real.statistics as FeatureStatistics, generated.statistics as FeatureStatistics] as const;
      return { frechetDistance: await frechetDistance(...statistics, { signal }) };
    },
    kid: async () => ({ kernelDistance: await kernelDistance(a, b, { seed, signal }) }),
    is: async () => {
      const splits = options.splits ?? Math.min(10, generated.count);
      return { inceptionScore: await inceptionScore(generated.probabilities as FeatureVectors, { splits, signal }) };
    },
    pr: async () => {
      const [x, y] = [chooseVectors(a, neighbourImages, seed, 0), chooseVectors(b, neighbourImages, seed, 1)];
      const figures = await precisionRecall(x, y, { neighbours, signal });
      return { precisionRecall: { ...figures, neighbours, realCount: x.shape[0], generatedCount: y.shape[0] } };
    },
  };
  let figures: Partial<ImageEvaluation> = {};
  for (const [i, metric] of metrics.entries()) {
    figures = { ...figures, ...(await compute[metric]()) };
    onProgress?.({ phase: 'distances', done: i + 1, total: metrics.length });
  }
  return {
    network: network.name,
    dimensions: network.dimensions,
    realCount: real.count,
    generatedCount: generated.count,
    ...figures,
    warnings: wants('fid') && warning !== undefined ? [warning] : [],
  };
}

/**
 * Lets a feature network look at the real images once, so that many sets can be compared with them: while a model trains, say. What
 * {@link evaluateImages} finds is the same.
 *
 * @throws as {@link evaluateImages}.
 */
export async function imageReference(options: ImageReferenceOptions): Promise<ImageReference> {
  const { real, network, metrics = possibleMetrics(network), batchSize = 64 } = options;
  checkMetrics(metrics, network);
  checkWhole('batchSize', batchSize, 1, 65_536);
  return { network, features: await lookAt('real', real, { ...options, metrics, batchSize }) };
}

function isReference(real: ImageSource | ImageReference): real is ImageReference {
  return 'features' in real && 'network' in real;
}

/** Lets the network look at one of the two sets and keeps what the figures need. */
function lookAt(
  phase: 'real' | 'generated',
  source: ImageSource,
  { network, metrics, batchSize, signal, onProgress }: Omit<ImageReferenceOptions, 'real'> & CheckedLook,
): Promise<CollectedFeatures> {
  const wants = (metric: ImageMetric): boolean => metrics.includes(metric);
  const total = countOf(source);
  const kept: CollectOptions = {
    network,
    batchSize,
    statistics: wants('fid'),
    vectors: wants('kid') || wants('pr'),
    probabilities: phase === 'generated' && wants('is'),
    signal,
    onImages: (done) => onProgress?.({ phase, done, ...(total !== undefined && { total }) }),
  };
  return collectFeatures(phase, source, kept);
}

/** What {@link lookAt} needs to have been filled in. */
type CheckedLook = Required<Pick<ImageReferenceOptions, 'metrics' | 'batchSize'>>;

/** Every figure that a network can give. */
function possibleMetrics({ classes }: FeatureNetwork): readonly ImageMetric[] {
  return (Object.keys(imageMetrics) as ImageMetric[]).filter((metric) => metric !== 'is' || classes !== undefined);
}

/** @throws `ERR_ARGUMENT` for a figure that is unknown, or that the network cannot give. */
function checkMetrics(metrics: readonly ImageMetric[], { name, classes }: FeatureNetwork): void {
  const unknown = metrics.find((metric) => !(metric in imageMetrics));
  if (unknown !== undefined) {
    const known = Object.keys(imageMetrics).join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `there is no metric '${String(unknown)}'; metrics: ${known}`);
  }
  if (metrics.includes('is') && classes === undefined) {
    throw new DiffuseError('ERR_ARGUMENT', `the metric 'is' needs probabilities; '${name}' gives features only`);
  }
}

/** @throws `ERR_ARGUMENT` when a reference is of another network or was made for other figures. */
function checkReference(
  { network, features }: ImageReference,
  metrics: readonly ImageMetric[],
  now: FeatureNetwork,
): void {
  if (network !== now) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `the reference was made with the feature network '${network.name}', the images would be looked at by '${now.name}'`,
    );
  }
  const lacks = metrics.find(
    (metric) =>
      (metric === 'fid' && !features.statistics) || ((metric === 'kid' || metric === 'pr') && !features.vectors),
  );
  if (lacks === undefined) return;
  throw new DiffuseError('ERR_ARGUMENT', `the reference was made for other metrics; '${lacks}' needs one made with it`);
}

/** Options with their defaults; whatever can be told before an image is looked at is refused here. */
function checkedOptions(options: EvaluateImagesOptions) {
  const { network, real, generated, batchSize = 64, seed = 0, neighbourImages = 10_000, neighbours = 3 } = options;
  const metrics = [...new Set(options.metrics ?? possibleMetrics(network))];
  checkMetrics(metrics, network);
  if (isReference(real)) checkReference(real, metrics, network);
  checkWhole('batchSize', batchSize, 1, 65_536);
  checkWhole('neighbours', neighbours, 1, 1_000_000);
  checkWhole('neighbourImages', neighbourImages, neighbours + 1, 1_000_000);
  if (options.splits !== undefined) checkWhole('splits', options.splits, 1, 1_000_000);
  const least = metrics.includes('pr') ? neighbours + 1 : 2;
  for (const [name, source] of Object.entries({ real, generated })) {
    const count = isReference(source) ? source.features.count : countOf(source);
    if (count !== undefined && count < least) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `${metrics.join(', ')} need at least ${least} ${name} images; got ${count}`,
      );
    }
  }
  return { metrics, batchSize, seed, neighbourImages, neighbours };
}

function checkShapes(real: CollectedFeatures, generated: CollectedFeatures): void {
  if (real.shape.every((side, i) => side === generated.shape[i])) return;
  throw new DiffuseError(
    'ERR_SHAPE',
    `real images are [${real.shape.join(', ')}], generated ones [${generated.shape.join(', ')}]; both must be of one shape`,
  );
}
