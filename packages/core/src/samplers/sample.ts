import type { Diffusion } from '../diffusion/gaussian.ts';
import { elementCount } from '../graph/graph.ts';
import type { Model } from '../models/model.ts';
import type { Device } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { type Autoguidance, type ClassifierGuidance, checkGuidance, type Guidance } from './guidance.ts';
import { type ResampleOptions, repaintPlan } from './inpaint.ts';
import { noiseFactors, type Sampler, type SamplerStep } from './sampler.ts';
import { compileSampling, type Sampling, type StepRequest } from './sampling.ts';

/** Samples that are given, to be edited. */
export interface Given {
  /** float32 [count, ...shape of the model], in about [-1, 1]. */
  readonly images: Float32Array;
  /**
   * How far they are noised before they are denoised anew, in [0, 1] (SDEdit, Meng et al. 2022, arXiv:2108.01073): 0 leaves them as
   * they are, 1 leaves nothing of them. Not with a mask, and not with a sampler that inverts, which begins at the images themselves.
   */
  readonly strength?: number;
}

/** What of the given samples stays as it is while the rest is drawn (RePaint, Lugmayr et al. 2022, arXiv:2201.09865). */
export interface Mask extends ResampleOptions {
  /** float32 [count, ...shape of the model]: 1 keeps the given value, 0 draws a new one. */
  readonly values: Float32Array;
}

/**
 * What the types know to be wrong of a model and its guidance: dropped labels of one that was trained without, and labels for one that is
 * told no class, unless a classifier leads to them.
 */
export type GuidanceMisfit<M extends Model> = (M['nullClass'] extends null
  ? { readonly guidance?: Autoguidance | ClassifierGuidance | NeedsNullClass | undefined }
  : unknown) &
  (M['classes'] extends null
    ? { readonly labels?: NeedsClasses | undefined } | { readonly guidance: ClassifierGuidance }
    : unknown);

/** Says in an error of the compiler what is missing. */
type NeedsNullClass = 'guidance by a number needs a model with dropped labels: nullClass: true';
type NeedsClasses = 'labels need a model that is told a class, give it classes; or guidance by a classifier';

/** What the types know to be wrong of a model and a sampler: a learned variance of a network that predicts none. */
export type SamplerMisfit<M extends Model, S extends Sampler> = [M['learnedVariance'], S['learnedVariance']] extends [
  false,
  true,
]
  ? "variance 'learned-range' needs a model that predicts its variance: learnedVariance: true"
  : unknown;

/** Options of {@link sample}. What the types know not to fit does not compile; types of models loaded from files know nothing. */
export interface SampleOptions<M extends Model = Model, S extends Sampler = Sampler> {
  readonly model: M;
  readonly diffusion: Diffusion;
  readonly device: Device;
  readonly sampler: S & SamplerMisfit<M, S>;
  /** Number of images. */
  readonly count: number;
  /** Determines the images: image i of a seed is the same in every batch, of whatever size. */
  readonly seed?: number;
  /** Images computed at once; default all, at most 64. */
  readonly batchSize?: number;
  /** Class of each image: what a model is told that is told one, and where a classifier leads that has no labels of its own. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Steers what the network says; a number is the weight of classifier-free guidance, 1 for none. */
  readonly guidance?: Guidance | number | undefined;
  /**
   * x_T to begin with instead of the seed's noise: float32 [count, ...shape of the model], e.g. what an inversion ended with. Not together
   * with `given`.
   */
  readonly start?: Float32Array | undefined;
  /** Samples to begin from instead of noise, or to keep under `mask`. */
  readonly given?: Given | undefined;
  readonly mask?: Mask | undefined;
  /** Use the average of the weights where the model has one. */
  readonly ema?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after each step of each batch. */
  readonly onStep?: ((progress: SampleProgress) => void) | undefined;
}

/** How far sampling has come. */
export interface SampleProgress {
  /** Network evaluations done, over all batches. */
  readonly done: number;
  readonly total: number;
}

/** Images in [-1, 1]. */
export interface Samples<Shape extends readonly number[] = readonly number[]> {
  /** float32 [count, ...shape of the model], values in about [-1, 1], row-major. */
  readonly images: Float32Array;
  /** [count, ...shape of the model]. */
  readonly shape: readonly [count: number, ...Shape];
}

/** What one step saw and made of it; arrays are float32 [count, ...shape of the model]. */
export interface SampleStep {
  /** Steps done, from 1. */
  readonly step: number;
  /** The timestep that the network was told. */
  readonly t: number;
  /** The noisy images before the step. */
  readonly xt: Float32Array;
  /** The network's prediction, expressed as noise. */
  readonly eps: Float32Array;
  /** The clipped estimate of the clean images. */
  readonly x0: Float32Array;
  /** The images after the step. */
  readonly next: Float32Array;
}

async function sampleAll<M extends Model>(options: SampleOptions): Promise<Samples<M['shape']>> {
  const { model, count, signal, onStep } = options;
  const checked = checkOptions(options);
  const { plan } = checked;
  const batches = splitBatches(count, options.batchSize);
  const size = elementCount(model.shape);
  const images = new Float32Array(count * size);
  const batchSize = batches[0]?.count ?? 1;
  const sampling = compileBatches(options, checked, batchSize, false);
  try {
    let done = 0;
    for (const { offset, count: wanted } of batches) {
      await begin(sampling, options, checked, { offset, batchSize });
      for (const [index, step] of plan.entries()) {
        await sampling.step({ ...request(options, checked, { offset, batchSize }), step, index, signal });
        onStep?.({ done: ++done, total: plan.length * batches.length });
      }
      images.set((await sampling.read()).subarray(0, wanted * size), offset * size);
    }
  } finally {
    sampling.dispose();
  }
  return { images, shape: [count, ...(model.shape as M['shape'])] };
}

async function* sampleSteps(options: SampleOptions): AsyncGenerator<SampleStep, void, void> {
  const { diffusion, count, signal } = options;
  const checked = checkOptions(options);
  const sampling = compileBatches(options, checked, count, true);
  try {
    await begin(sampling, options, checked, { offset: 0, batchSize: count });
    for (const [index, step] of checked.plan.entries()) {
      const xt = await sampling.read();
      const range = { offset: 0, batchSize: count };
      const said = await sampling.step({ ...request(options, checked, range), step, index, signal });
      const factors = noiseFactors(diffusion, step);
      const prediction = said.prediction as Float32Array;
      const eps = xt.map((x, i) => factors.x * x + factors.prediction * (prediction[i] as number));
      yield { step: index + 1, t: step.t, xt, eps, x0: said.x0 as Float32Array, next: await sampling.read() };
    }
  } finally {
    sampling.dispose();
  }
}

/**
 * Draws samples: x_T from noise, then one program a step: network, guidance, estimate of x0, one fused update (see `SamplerStep`).
 * With `given` it edits samples instead: begins at a noisy version of them, keeps what a mask keeps, or goes from them to their noise
 * with a sampler that inverts. `sample.steps` does the same in one batch and yields every step: for pictures of the process.
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_OUT_OF_MEMORY` at once; `ERR_CANCELLED`.
 */
export const sample: {
  <M extends Model, S extends Sampler>(options: SampleOptions<M, S> & GuidanceMisfit<M>): Promise<Samples<M['shape']>>;
  steps<M extends Model, S extends Sampler>(
    options: SampleOptions<M, S> & GuidanceMisfit<M>,
  ): AsyncGenerator<SampleStep, void, void>;
} = Object.assign(sampleAll, { steps: sampleSteps });

/** What follows from the options. */
interface Checked {
  readonly plan: readonly SamplerStep[];
  readonly guidance: Guidance | undefined;
}

/** Part of the samples, computed at once. */
interface BatchRange {
  readonly offset: number;
  readonly batchSize: number;
}

function compileBatches(
  { model, diffusion, device, ema = true, start, given, mask }: SampleOptions,
  { plan, guidance }: Checked,
  batchSize: number,
  fetch: boolean,
): Sampling {
  const edits = { given: given !== undefined || start !== undefined, masked: mask !== undefined };
  return compileSampling({ model, diffusion, device, plan, batchSize, ema, guidance, ...edits, fetch });
}

async function begin(
  sampling: Sampling,
  { model, sampler, seed = 0, start, given, mask }: SampleOptions,
  { plan }: Checked,
  range: BatchRange,
): Promise<void> {
  const size = elementCount(model.shape);
  const part = (values: Float32Array | undefined): Float32Array | undefined => values && batchOf(values, size, range);
  const { signal, deviation } = start ? { signal: 1, deviation: 0 } : sharesAt(plan, sampler, given, mask);
  const images = { given: part(start ?? given?.images), mask: part(mask?.values) };
  await sampling.begin({ seed, offset: range.offset, signal, deviation, ...images });
}

/** Shares of the given samples and of noise where the sampling begins. */
function sharesAt(
  plan: readonly SamplerStep[],
  sampler: Sampler,
  given: Given | undefined,
  mask: Mask | undefined,
): { signal: number; deviation: number } {
  const first = plan[0];
  if (!given || (mask && first)) return { signal: 0, deviation: 1 };
  if (sampler.inverts || !first) return { signal: 1, deviation: 0 };
  return { signal: Math.sqrt(first.alphaBar), deviation: Math.sqrt(1 - first.alphaBar) };
}

function request(
  { model, seed = 0, labels }: SampleOptions,
  { guidance }: Checked,
  range: BatchRange,
): Pick<StepRequest, 'seed' | 'offset' | 'labels' | 'guideLabels'> {
  const part = (all: ArrayLike<number> | undefined): Int32Array | undefined =>
    all && Int32Array.from(batchOf(all, 1, range));
  const towards = guidance?.kind === 'classifier' ? (guidance.labels ?? labels) : undefined;
  const told = model.classes === null ? undefined : labels;
  return { seed, offset: range.offset, labels: part(told), guideLabels: part(towards) };
}

/** What one batch has of an array over all samples; the last batch may be longer than what is left and repeats the last sample. */
function batchOf(values: ArrayLike<number>, size: number, { offset, batchSize }: BatchRange): Float32Array {
  const last = values.length / size - 1;
  const batch = new Float32Array(batchSize * size);
  for (let i = 0; i < batchSize; i++) {
    const from = Math.min(offset + i, last) * size;
    for (let j = 0; j < size; j++) batch[i * size + j] = values[from + j] as number;
  }
  return batch;
}

/** Batches of nearly equal size, so that the last one is not mostly empty. */
function splitBatches(count: number, largest = 64): { offset: number; count: number }[] {
  const batches = Math.ceil(count / largest);
  const size = Math.ceil(count / batches);
  return Array.from({ length: batches }, (_, i) => ({
    offset: i * size,
    count: Math.min(size, count - i * size),
  })).filter((batch) => batch.count > 0);
}

/** Everything that can be refused is refused here, before anything is computed. */
function checkOptions(options: SampleOptions): Checked {
  const { diffusion, sampler, count, batchSize = 1, given, mask } = options;
  for (const [name, value] of Object.entries({ count, batchSize })) {
    if (!Number.isSafeInteger(value) || value < 1) refuse(`${name} is ${value}; it must be a positive integer`);
  }
  checkLabels(options);
  checkGiven(options);
  const guidance = checkGuidance(options.guidance, options);
  const whole = given?.strength === undefined ? {} : { strength: given.strength };
  const plan = sampler.plan(diffusion, whole);
  return { plan: mask ? repaintPlan(plan, mask) : plan, guidance };
}

function checkLabels({ model, count, labels, guidance }: SampleOptions): void {
  const { classes, nullClass } = model;
  if (classes === null) {
    const leads = typeof guidance === 'object' && guidance.kind === 'classifier';
    if (labels && !leads) refuse('labels were given, but the model is not told a class');
    if (labels && leads && guidance.labels) {
      refuse('labels were given, but the model is not told a class and the classifier has labels of its own');
    }
    return;
  }
  if (labels?.length !== count) {
    refuse(`the model is told a class: give ${count} labels, got ${labels?.length ?? 'none'}`);
  }
  const known = (label: number): boolean =>
    (Number.isInteger(label) && label >= 0 && label < classes) || (nullClass !== null && label === nullClass);
  const wrong = Array.from(labels).find((label) => !known(label));
  if (wrong === undefined) return;
  refuse(
    `the label ${wrong} is not a class; they are 0 to ${classes - 1}${nullClass === null ? '' : `, and ${nullClass} for none`}`,
  );
}

function checkGiven({ model, count, sampler, start, given, mask }: SampleOptions): void {
  const size = count * elementCount(model.shape);
  const check = (name: string, values: Float32Array): void => {
    if (values.length === size) return;
    const shape = [count, ...model.shape].join(' x ');
    throw new DiffuseError('ERR_SHAPE', `${name} has ${values.length} elements; ${shape} is ${size}`);
  };
  if (given) check('given.images', given.images);
  if (start) check('start', start);
  if (start && (given || sampler.inverts)) refuse('start is noise to begin with: it does not go with given samples');
  if (sampler.inverts) {
    if (!given) refuse(`sampler '${sampler.name}' goes from samples to noise: give them`);
    if (mask || given.strength !== undefined) refuse(`sampler '${sampler.name}' takes neither mask nor strength`);
  }
  if (!mask) return;
  check('mask.values', mask.values);
  if (!given) refuse('a mask keeps part of given samples: give them');
  if (given.strength !== undefined) refuse('strength and mask do not go together');
  const wrong = mask.values.find((value) => !(value >= 0 && value <= 1));
  if (wrong !== undefined) refuse(`mask.values has ${wrong}; a mask is 1 where samples stay and 0 where they are new`);
}

function refuse(problem: string): never {
  throw new DiffuseError('ERR_ARGUMENT', problem);
}
