import { DiffuseError } from '../native/errors.ts';
import { checkImages, type FeatureNetwork, type ImageFeatures, type ImagesShape, softmax } from './feature-network.ts';
import { resizeImages } from './resize-images.ts';

/** A tensor of the ONNX runtime. */
export interface OnnxTensor {
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** A loaded network of the ONNX runtime. */
export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Given by newer versions: shapes of the inputs, numbers where they are fixed. */
  readonly inputMetadata?: readonly { readonly name?: string; readonly shape?: readonly (number | string)[] }[];
  run(feeds: Record<string, never>): Promise<Readonly<Record<string, OnnxTensor>>>;
  release?(): Promise<void>;
}

/** What is used of the package `onnxruntime-node`; `await import('onnxruntime-node')` is one. */
export interface OnnxRuntime {
  readonly InferenceSession: { create(path: string): Promise<OnnxSession> };
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => unknown;
}

/** How an ONNX network wants its images and what it gives. All of it can stand in a JSON file. */
export interface OnnxImageOptions {
  /**
   * What the network takes: images are resized to it (bilinearly), and grey ones repeated when it takes three channels. Default what
   * the file says, if its sides are fixed and the runtime tells them.
   */
  readonly input?: readonly [height: number, width: number, channels: number];
  /** Order of the input's sides: `nchw` (PyTorch's, the default) or `nhwc` (TensorFlow's). */
  readonly layout?: 'nchw' | 'nhwc';
  /** What bytes 0 and 255 become; default [0, 1]. */
  readonly range?: readonly [low: number, high: number];
  /** Subtracted from each channel after that; default 0. */
  readonly mean?: readonly number[];
  /** What each channel is divided by then; default 1. */
  readonly std?: readonly number[];
  /** Name of the output with the features, [N, D] or [N, D, 1, 1]; default the first output. */
  readonly features?: string;
  /** Name of the output with the probabilities of classes, if there is one. */
  readonly probabilities?: string;
  /** Name of the output with their logits, if there is that instead. */
  readonly logits?: string;
}

/** Options of {@link onnxFeatures}. */
export interface OnnxFeaturesOptions extends OnnxImageOptions {
  /** The package, which diffuse does not depend on: `await import('onnxruntime-node')`. */
  readonly runtime: OnnxRuntime;
  /** The `.onnx` file. */
  readonly path: string;
  /** Default the file's name. */
  readonly name?: string;
}

/** A feature network of the ONNX runtime. */
export interface OnnxFeatureNetwork extends FeatureNetwork {
  /** Frees the network. */
  close(): Promise<void>;
}

/**
 * Opens a feature network given as ONNX.
 *
 * @throws DiffuseError `ERR_DATA` when the file cannot be loaded or run, with the runtime's words; `ERR_ARGUMENT` for options that do
 *   not fit it.
 */
export async function onnxFeatures(options: OnnxFeaturesOptions): Promise<OnnxFeatureNetwork> {
  const { runtime, path } = options;
  const session = await told(`cannot load ${path}`, () => runtime.InferenceSession.create(path));
  const close = async (): Promise<void> => session.release?.();
  try {
    const input = inputShape(session, options);
    const prepare = preparation(options, input);
    const names = outputNames(session, options);
    const look = (images: Float32Array | Uint8Array, shape: ImagesShape): Promise<RawFeatures> =>
      runSession(session, options, names, { ...prepare(images, shape), count: shape[0] });
    // One black image tells the sizes of the outputs.
    const probe = await look(new Uint8Array(input.height * input.width * input.channels), [
      1,
      input.height,
      input.width,
      input.channels,
    ]);
    const { dimensions, classes } = probe;
    return {
      name: options.name ?? path.replace(/^.*[/\\]/, ''),
      dimensions,
      ...(classes !== undefined && { classes }),
      async features(images, shape) {
        checkImages('images', images, shape);
        const { features, probabilities } = await look(images, shape);
        return { features, ...(probabilities && { probabilities }) };
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface InputShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

interface RawFeatures extends ImageFeatures {
  readonly dimensions: number;
  readonly classes?: number;
}

/** What the options say of the input, or else the file. */
function inputShape(session: OnnxSession, { path, input, layout = 'nchw' }: OnnxFeaturesOptions): InputShape {
  const dims = session.inputMetadata?.[0]?.shape ?? [];
  const [, a, b, c] = dims;
  const found = input ?? (layout === 'nchw' ? [b, c, a] : [a, b, c]);
  if (session.inputNames.length !== 1) {
    const names = session.inputNames.join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `${path} takes ${names}; a feature network takes one input, the images`);
  }
  const [height, width, channels] = found as readonly unknown[];
  if (found.length !== 3 || !isSide(height) || !isSide(width) || !isSide(channels)) {
    const known = dims.length > 0 ? ` (its input is [${dims.join(', ')}])` : '';
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `${path}: 'input' must say what it takes, as [height, width, channels]${known}; got ${JSON.stringify(input)}`,
    );
  }
  return { height, width, channels };
}

function isSide(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}

/** Names of the outputs to be read, held against those of the file. */
function outputNames(
  { outputNames: known }: OnnxSession,
  { path, features = known[0], probabilities, logits }: OnnxFeaturesOptions,
): { readonly features: string; readonly classes: string | undefined } {
  for (const [option, name] of Object.entries({ features, probabilities, logits })) {
    if (name === undefined || known.includes(name)) continue;
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `${path} has no output '${name}' for '${option}'; it has ${known.join(', ')}`,
    );
  }
  if (probabilities !== undefined && logits !== undefined) {
    throw new DiffuseError('ERR_ARGUMENT', `${path}: give 'probabilities' or 'logits', not both`);
  }
  return { features: features as string, classes: probabilities ?? logits };
}

type Preparation = (
  images: Float32Array | Uint8Array,
  shape: ImagesShape,
) => { readonly data: Float32Array; readonly dims: readonly number[] };

/** Makes the function that turns images into the network's input: resized, scaled, in its layout. */
function preparation(
  { path, layout = 'nchw', range = [0, 1], mean, std }: OnnxFeaturesOptions,
  { height, width, channels }: InputShape,
): Preparation {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `${path}: ${problem}`);
  };
  const isNumbers = (values: unknown, length: number): boolean =>
    Array.isArray(values) && values.length === length && values.every(Number.isFinite);
  if (layout !== 'nchw' && layout !== 'nhwc') refuse(`'layout' must be nchw or nhwc; got ${JSON.stringify(layout)}`);
  if (!isNumbers(range, 2)) refuse(`'range' must be two numbers, [low, high]; got ${JSON.stringify(range)}`);
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values === undefined || (isNumbers(values, channels) && !(name === 'std' && values.includes(0)))) continue;
    refuse(`'${name}' must be a number for each of ${channels} channels; got ${JSON.stringify(values)}`);
  }
  const [low, high] = range;
  return (images, shape) => {
    const [count, , , from] = shape;
    if (from !== channels && from !== 1) {
      const problem = `${path} takes ${channels} channels; the images have ${from}`;
      throw new DiffuseError('ERR_SHAPE', problem);
    }
    const isBytes = images instanceof Uint8Array;
    const unit = Float32Array.from(images, (value) => (isBytes ? value / 255 : (value + 1) / 2));
    const pixels = resizeImages(unit, shape, [height, width]);
    const data = new Float32Array(count * height * width * channels);
    const area = height * width;
    for (let pixel = 0; pixel < count * area; pixel++) {
      const [image, place] = [Math.floor(pixel / area), pixel % area];
      for (let c = 0; c < channels; c++) {
        const value = low + (high - low) * (pixels[pixel * from + (from === 1 ? 0 : c)] as number);
        const at = layout === 'nhwc' ? pixel * channels + c : (image * channels + c) * area + place;
        data[at] = (value - (mean?.[c] ?? 0)) / (std?.[c] ?? 1);
      }
    }
    return {
      data,
      dims: layout === 'nhwc' ? [count, height, width, channels] : [count, channels, height, width],
    };
  };
}

async function runSession(
  session: OnnxSession,
  { runtime, path, logits }: OnnxFeaturesOptions,
  names: { readonly features: string; readonly classes: string | undefined },
  { data, dims, count }: { readonly data: Float32Array; readonly dims: readonly number[]; readonly count: number },
): Promise<RawFeatures> {
  const feeds = { [session.inputNames[0] as string]: new runtime.Tensor('float32', data, dims) as never };
  const outputs = await told(`${path} does not run on images of [${dims.join(', ')}]`, () => session.run(feeds));
  const features = matrixOf(path, names.features, outputs[names.features], count);
  const dimensions = features.length / count;
  if (names.classes === undefined) return { features, dimensions };
  const scores = matrixOf(path, names.classes, outputs[names.classes], count);
  const classes = scores.length / count;
  return { features, dimensions, classes, probabilities: logits === undefined ? scores : softmax(scores, classes) };
}

/** An output as one row an image. */
function matrixOf(path: string, name: string, tensor: OnnxTensor | undefined, count: number): Float32Array {
  const { data, dims = [] } = tensor ?? {};
  const [rows, columns = 0, ...rest] = dims;
  if (!(data instanceof Float32Array) || rows !== count || columns < 1 || rest.some((side) => side !== 1)) {
    const kind = data instanceof Float32Array ? `[${dims.join(', ')}]` : 'no float32 tensor';
    throw new DiffuseError('ERR_ARGUMENT', `${path}: output '${name}' is ${kind}; expected float32 [${count}, D]`);
  }
  return data;
}

/** Puts what failed before the runtime's own words. */
async function told<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof DiffuseError) throw error;
    const words = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').trim();
    throw new DiffuseError('ERR_DATA', `${what}: ${words}`, { cause: error });
  }
}
