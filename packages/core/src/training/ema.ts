/**
 * Decay of the average of the weights, with warm-up: `min(decay, (1 + step) / (10 + step))`, so that the first averages are not
 * dominated by the random start. As in TensorFlow's ExponentialMovingAverage and diffusers' EMAModel.
 *
 * @param decay largest decay, in [0, 1).
 * @param step steps done before this one, from 0.
 */
export function emaDecay(decay: number, step: number): number {
  return Math.min(decay, (1 + step) / (10 + step));
}
