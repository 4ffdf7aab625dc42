import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, shapeText, type Value } from '../graph.ts';

/**
 * Linear map of the channels, `y = x weight + bias`.
 *
 * @param x float32 [..., C]
 * @param weight float32 [C, K]
 * @param bias float32 [K], or undefined for none
 * @returns float32 [..., K]
 * @throws `ERR_SHAPE` when the shapes do not fit
 */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  const [inputs, outputs = 0] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== inputs) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `linear: input ${shapeText(x.shape)} and weight ${shapeText(weight.shape)} do not fit; expected [..., C] and [C, K]`,
    );
  }
  if (bias) expectShape('bias of linear', bias.shape, [outputs]);
  return emit({
    kernel: 'linear_forward',
    outputs: { y: [...x.shape.slice(0, -1), outputs] },
    inputs: { x, weight, bias },
    gradient: ({ y: dy }, wanted) => {
      if (!dy) return {};
      const parameters =
        wanted.has('weight') || wanted.has('bias')
          ? emit({
              kernel: 'linear_weight_gradient',
              outputs: { dweight: weight.shape, dbias: bias?.shape },
              inputs: { x, dy },
            })
          : undefined;
      const dx = wanted.has('x')
        ? emit({ kernel: 'linear_data_gradient', outputs: { dx: x.shape }, inputs: { dy, weight } }).dx
        : undefined;
      return { x: dx, weight: parameters?.dweight, bias: parameters?.dbias };
    },
  }).y;
}
