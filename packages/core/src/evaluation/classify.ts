import { elementCount, Graph, type Value } from '../graph/graph.ts';
import { fill } from '../graph/ops/elementwise.ts';
import { compile, type Program } from '../graph/program.ts';
import type { Classifier } from '../models/classifier.ts';
import { parameterValues, weightsOn } from '../models/weights.ts';
import type { Device } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Dataset } from '../training/dataset.ts';

/** Options of {@link classify}. */
export interface ClassifyOptions {
  /** Images computed at once; the results do not depend on it. */
  readonly batchSize?: number;
  /** Use the average of the weights where the classifier has one. */
  readonly ema?: boolean;
  /** The noise level that a time-conditioned classifier is told, as the network is told it; 0 is clean. */
  readonly t?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What a classifier says of N images. */
export interface ClassifierReport {
  /** float32 [N, classes] */
  readonly logits: Float32Array;
  /** float32 [N, featureSize] */
  readonly features: Float32Array;
  /** The most probable class of each image, int32 [N]; of equal ones the first. */
  readonly labels: Int32Array;
}

/** A classifier made ready to run; close it with `using`. */
export interface ClassifierSession {
  /**
   * @param images [N, ...shape]: float32 in [-1, 1], or bytes.
   * @throws `ERR_SHAPE`, `ERR_CANCELLED`.
   */
  classify(images: Float32Array | Uint8Array, options?: Pick<ClassifyOptions, 'signal'>): Promise<ClassifierReport>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * Makes a classifier ready to be run many times.
 *
 * @throws `ERR_ARGUMENT` when it has no weights on the device, `ERR_OUT_OF_MEMORY`.
 */
export function openClassifier(
  model: Classifier,
  device: Device,
  { batchSize = 100, ema = true, t = 0 }: Omit<ClassifyOptions, 'signal'> = {},
): ClassifierSession {
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `batchSize is ${batchSize}; it must be a positive integer`);
  }
  const program = compileClassifier(model, device, { batchSize, ema, t });
  const dispose = (): void => program.dispose();
  return {
    classify: (images, options) => classifyBatches(program, model, batchSize, images, options?.signal),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/**
 * Runs a classifier over images.
 *
 * @param images [N, ...shape]: float32 in [-1, 1], or bytes.
 * @throws `ERR_SHAPE`, `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY`, `ERR_CANCELLED`.
 */
export async function classify(
  model: Classifier,
  device: Device,
  images: Float32Array | Uint8Array,
  options: ClassifyOptions = {},
): Promise<ClassifierReport> {
  using session = openClassifier(model, device, options);
  return await session.classify(images, options);
}

/**
 * The share of a labelled data set that a classifier gets right, in [0, 1].
 *
 * @throws `ERR_DATA` without labels or images; as {@link classify}.
 */
export async function classifierAccuracy(
  model: Classifier,
  device: Device,
  data: Dataset,
  options: ClassifyOptions = {},
): Promise<number> {
  const { labels, count, dtype = 'u8' } = data;
  if (!labels || count < 1) throw new DiffuseError('ERR_DATA', 'the accuracy of a classifier needs labelled images');
  if (dtype === 'i32') throw new DiffuseError('ERR_DTYPE', 'a classifier takes images of bytes or float32');
  using session = openClassifier(model, device, options);
  const size = elementCount(data.shape);
  const piece = 10 * (options.batchSize ?? 100);
  let right = 0;
  for (let begin = 0; begin < count; begin += piece) {
    const indices = Int32Array.from({ length: Math.min(piece, count - begin) }, (_, i) => begin + i);
    const images = dtype === 'u8' ? new Uint8Array(indices.length * size) : new Float32Array(indices.length * size);
    await data.read(indices, images);
    const said = await session.classify(images, options);
    right += indices.filter((index, i) => labels[index] === said.labels[i]).length;
  }
  return right / count;
}

function compileClassifier(
  model: Classifier,
  device: Device,
  { batchSize, ema, t }: { batchSize: number; ema: boolean; t: number },
): Program<'logits' | 'features'> {
  const weights = weightsOn(model, device);
  const graph = new Graph();
  const values = parameterValues(graph, weights.table);
  const outputs = model.forward({
    x: graph.input('images', [batchSize, ...model.shape]),
    t: model.config.timeConditioned ? fill(graph, [batchSize], t) : undefined,
    parameter: (name) => values.get(name) as Value,
  });
  const parameters = (ema ? weights.ema : undefined) ?? weights.parameters;
  return compile(graph, { device, outputs: { ...outputs }, buffers: { parameters } });
}

async function classifyBatches(
  program: Program<'logits' | 'features'>,
  { shape, classes, featureSize }: Classifier,
  batchSize: number,
  images: Float32Array | Uint8Array,
  signal: AbortSignal | undefined,
): Promise<ClassifierReport> {
  const size = elementCount(shape);
  const count = images.length / size;
  if (!Number.isInteger(count)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `${images.length} values are no whole number of images of ${shape.join(' x ')}`,
    );
  }
  const logits = new Float32Array(count * classes);
  const features = new Float32Array(count * featureSize);
  const batch = new Float32Array(batchSize * size);
  for (let begin = 0; begin < count; begin += batchSize) {
    const wanted = Math.min(batchSize, count - begin);
    // What is left of the batch before fills up the last one.
    batch.set(toFloats(images.subarray(begin * size, (begin + wanted) * size)));
    const said = await program.run({ inputs: { images: batch }, signal });
    logits.set(said.logits.subarray(0, wanted * classes), begin * classes);
    features.set(said.features.subarray(0, wanted * featureSize), begin * featureSize);
  }
  return { logits, features, labels: Int32Array.from({ length: count }, (_, n) => mostProbable(logits, n, classes)) };
}

/** Bytes to [-1, 1], with the very rounding of the noising kernel. */
function toFloats(images: Float32Array | Uint8Array): Float32Array {
  return images instanceof Float32Array ? images : Float32Array.from(images, (byte) => (byte - 127.5) / 127.5);
}

function mostProbable(logits: Float32Array, row: number, classes: number): number {
  let best = 0;
  for (let k = 1; k < classes; k++) {
    if ((logits[row * classes + k] ?? 0) > (logits[row * classes + best] ?? 0)) best = k;
  }
  return best;
}
