import { emit, expectShape, type Value } from '../graph.ts';

/** What {@link softmaxCrossEntropy} returns. */
export interface CrossEntropy {
  /** Mean of `perRow`, float32 [1]. */
  readonly loss: Value;
  /** Negative log-likelihood of each label in nats, float32 [...], at least 0. */
  readonly perRow: Value;
  /** 1 where the label has the largest logit (the first of equal ones), else 0; float32 [...]. */
  readonly correct: Value;
}

/**
 * The loss of classifiers: `perRow = ln Σ exp(logits) - logits[label]`, computed in float64. Only `loss` is differentiated, by the
 * logits alone: `(softmax(logits) - onehot(label)) / rows`. A label outside [0, K) fails the run with `ERR_ARGUMENT`.
 *
 * @param logits float32 [..., K]
 * @param labels int32 [...], each in [0, K)
 */
export function softmaxCrossEntropy(logits: Value, labels: Value): CrossEntropy {
  const leading = logits.shape.slice(0, -1);
  expectShape('labels of softmaxCrossEntropy', labels.shape, leading);
  return emit({
    kernel: 'softmax_cross_entropy_forward',
    outputs: { loss: [1], perRow: leading, correct: leading },
    inputs: { logits, labels },
    gradient: ({ loss: dloss }) => ({
      logits:
        dloss &&
        emit({
          kernel: 'softmax_cross_entropy_backward',
          outputs: { dlogits: logits.shape },
          inputs: { dloss, logits, labels },
        }).dlogits,
    }),
  });
}
