import type { Value } from '../../graph/graph.ts';
import { conv2d } from '../../graph/ops/conv2d.ts';
import { groupNorm } from '../../graph/ops/group-norm.ts';
import { linear } from '../../graph/ops/linear.ts';
import type { Randomness } from '../model.ts';

/** What every block needs: the parameters and how normalisation and dropout are done. */
export interface BlockContext {
  readonly parameter: (name: string) => Value;
  readonly groups: number;
  readonly eps: number;
  /** Share of activations dropped while training. */
  readonly dropout: number;
  /** Absent outside training. */
  readonly randomness: Randomness | undefined;
  /** A number for each dropout layer, so that each has a mask of its own. */
  readonly nextDropoutLayer: () => number;
}

/** 3x3 convolution with bias, zero padding 1, with the parameters `name.weight` and `name.bias`. */
export function convolution3x3({ parameter }: BlockContext, name: string, x: Value): Value {
  return conv2d(x, parameter(`${name}.weight`), parameter(`${name}.bias`), { padding: 1 });
}

/** 1x1 convolution with bias. */
export function convolution1x1({ parameter }: BlockContext, name: string, x: Value): Value {
  return conv2d(x, parameter(`${name}.weight`), parameter(`${name}.bias`));
}

/** Linear map of the channels with bias. */
export function project({ parameter }: BlockContext, name: string, x: Value): Value {
  return linear(x, parameter(`${name}.weight`), parameter(`${name}.bias`));
}

/** Group normalisation with gain and bias, with or without SiLU behind it. */
export function normalise(
  { parameter, groups, eps }: BlockContext,
  name: string,
  x: Value,
  options: { silu?: boolean; groups?: number } = {},
): Value {
  const gamma = parameter(`${name}.weight`);
  const beta = parameter(`${name}.bias`);
  return groupNorm(x, gamma, beta, { groups, eps, ...options });
}
