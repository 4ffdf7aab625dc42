import type { Graph, Value } from '../graph/graph.ts';
import type { Model, Network } from '../models/model.ts';
import { DiffuseError } from '../native/errors.ts';

/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598): what the network says without a class, moved towards and past
 * what it says with one, `without + weight (with - without)`. Weight 1 is no guidance, as in diffusers and EDM2; the paper's own w, and
 * smalldiffusion's, is one less.
 */
export interface ClassGuidance {
  readonly kind: 'class';
  readonly weight: number;
}

/**
 * Autoguidance (Karras et al. 2024, arXiv:2406.02507): a worse version of the network, smaller or less trained, takes the place of
 * the one without a class: `worse + weight (own - worse)`. Weight 1 is no guidance.
 */
export interface Autoguidance {
  readonly kind: 'autoguidance';
  readonly weight: number;
  /** Predicts the same target from the same samples; with weights on the same device. */
  readonly model: Model;
}

/**
 * Guidance by a classifier of noisy samples (Dhariwal and Nichol 2021, algorithm 2, arXiv:2105.05233): the noise is moved against the
 * slope of log p(class | x_t), `eps - scale sqrt(1 - alphaBar) slope`. Scale 0 is no guidance.
 */
export interface ClassifierGuidance {
  readonly kind: 'classifier';
  readonly scale: number;
  /** Its parameters, in the buffer `guide`. */
  readonly network: Network;
  /** The class that each sample is to go towards, 0 … classes of the network - 1; default the labels of the samples. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Builds the gradient by x of log p(class | x_t); float32, the shape of x. */
  readonly slope: (inputs: { graph: Graph; x: Value; t: Value; labels: Value }) => Value;
}

/** A way to steer what the network says. */
export type Guidance = ClassGuidance | Autoguidance | ClassifierGuidance;

/** What {@link checkGuidance} holds a guidance against. */
export interface GuidedSamples {
  readonly model: Model;
  /** Number of samples. */
  readonly count: number;
  /** Class of each sample, for models that are told one and for classifiers. */
  readonly labels?: ArrayLike<number> | undefined;
}

/**
 * The guidance that a sampling really has: undefined where it would change nothing.
 *
 * @param guidance a number is the weight of {@link ClassGuidance}.
 * @throws DiffuseError `ERR_ARGUMENT` when it does not go with the model; `ERR_SHAPE` for a guide of another shape.
 */
export function checkGuidance(
  guidance: Guidance | number | undefined,
  { model, count, labels }: GuidedSamples,
): Guidance | undefined {
  if (guidance === undefined) return undefined;
  const chosen: Guidance = typeof guidance === 'number' ? { kind: 'class', weight: guidance } : guidance;
  const amount = chosen.kind === 'classifier' ? chosen.scale : chosen.weight;
  if (!Number.isFinite(amount)) refuse(`guidance is ${amount}; it must be a finite number`);
  if (amount === (chosen.kind === 'classifier' ? 0 : 1)) return undefined;
  switch (chosen.kind) {
    case 'class':
      if (model.nullClass === null) {
        refuse('guidance needs a model that was trained with dropped labels, to say what it draws without a class');
      }
      return chosen;
    case 'autoguidance':
      checkShape(chosen.model, model);
      if (chosen.model.classes !== null && model.classes === null) {
        refuse('the guiding model is told a class, the model is not');
      }
      return chosen;
    case 'classifier':
      checkShape(chosen.network, model);
      checkClasses(chosen.network.classes, chosen.labels ?? labels, count);
      return chosen;
  }
}

/** A classifier has a slope for its own classes alone. */
function checkClasses(classes: number | null, labels: ArrayLike<number> | undefined, count: number): void {
  if (classes === null) refuse('the guiding network knows no classes');
  if (labels?.length !== count) {
    refuse(`a classifier leads to a class: give it ${count} labels, got ${labels?.length ?? 'none'}`);
  }
  const wrong = Array.from(labels).find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (wrong !== undefined) refuse(`the label ${wrong} is not a class of the classifier; they are 0 to ${classes - 1}`);
}

function checkShape(guide: Network, model: Model): void {
  if (guide.shape.join() === model.shape.join()) return;
  throw new DiffuseError(
    'ERR_SHAPE',
    `the guide takes samples of ${guide.shape.join(' x ')}, the model of ${model.shape.join(' x ')}`,
  );
}

function refuse(problem: string): never {
  throw new DiffuseError('ERR_ARGUMENT', problem);
}
