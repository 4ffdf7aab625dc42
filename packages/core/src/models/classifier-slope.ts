import { gradient } from '../graph/gradient.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { fill } from '../graph/ops/elementwise.ts';
import { softmaxCrossEntropy } from '../graph/ops/softmax-cross-entropy.ts';
import type { Classifier } from './classifier.ts';
import { parameterTable, parameterValues } from './weights.ts';

/** What {@link classifierSlope} builds from. */
export interface SlopeInputs {
  readonly graph: Graph;
  /** Noisy images, float32 [N, ...shape]. */
  readonly x: Value;
  /** Timestep of each image, float32 [N]; a classifier that is not time-conditioned does not look at it. */
  readonly t: Value;
  /** The classes to go towards, int32 [N]. */
  readonly labels: Value;
}

/**
 * The direction in which an image becomes more of its class, `∇_x log p(label | x)`: what classifier guidance adds to the score
 * (Dhariwal and Nichol 2021, arXiv:2105.05233, section 4).
 *
 * @param buffer name of the buffer with the classifier's parameters.
 * @returns builds the slope, float32 of the shape of x.
 */
export function classifierSlope(model: Classifier, buffer = 'guide'): (inputs: SlopeInputs) => Value {
  return ({ graph, x, t, labels }) =>
    graph.scope('classifier', () => {
      const parameters = parameterValues(graph, parameterTable(model.parameters), buffer);
      const { logits } = model.forward({
        x,
        t: model.config.timeConditioned ? t : undefined,
        parameter: (name) => parameters.get(name) as Value,
      });
      const samples = x.shape[0] ?? 1;
      // The loss is the mean of -log p over the samples, of which each depends on its own image alone.
      const { loss } = softmaxCrossEntropy(logits, labels);
      const slopes = gradient([{ value: loss, gradient: fill(graph, [1], -samples) }], [x]);
      return slopes.get(x) as Value;
    });
}
