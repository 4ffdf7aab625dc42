import type { Attribute, Graph, Shape, Value } from '../graph.ts';
import { scale } from './elementwise.ts';

/** Which random numbers: they depend on these, the sample's index and the element alone, not on device, batch or threads. */
export interface RandomStream {
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  /** What the numbers are for; see `Purpose`. */
  readonly purpose: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
}

/**
 * Normal noise with mean 0, from Philox4x32-10 (Salmon et al. 2011) by the Box-Muller transform.
 *
 * @param shape [N, ...]; the first dimension counts the samples.
 * @param deviation standard deviation.
 */
export function randomNormal(
  graph: Graph,
  shape: Shape,
  { deviation = 1, ...attributes }: RandomStream & { deviation?: number },
): Value {
  return scale(graph.emit({ kernel: 'random_normal', outputs: { y: shape }, inputs: {}, attributes }).y, deviation);
}

/**
 * Uniform numbers in [low, high), from Philox4x32-10.
 *
 * @param shape [N, ...]; the first dimension counts the samples.
 */
export function randomUniform(
  graph: Graph,
  shape: Shape,
  { low = 0, high = 1, ...stream }: RandomStream & { low?: number; high?: number },
): Value {
  const attributes = { ...stream, low, high };
  return graph.emit({ kernel: 'random_uniform', outputs: { y: shape }, inputs: {}, attributes }).y;
}
