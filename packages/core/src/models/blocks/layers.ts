import type { Value } from '../../graph/graph.ts';
import { conv2d, type Padding } from '../../graph/ops/conv2d.ts';
import { groupNorm } from '../../graph/ops/group-norm.ts';
import { linear } from '../../graph/ops/linear.ts';
import type { Randomness } from '../model.ts';

/** What every layer needs: the parameter of a name. */
export interface LayerContext {
  readonly parameter: (name: string) => Value;
}

/** What every block needs: the parameters and how normalisation and dropout are done. */
export interface BlockContext extends LayerContext {
  readonly groups: number;
  readonly eps: number;
  /** Share of activations dropped while training. */
  readonly dropout: number;
  /** Absent outside training. */
  readonly randomness: Randomness | undefined;
  /** A number for each dropout layer, so that each has a mask of its own. */
  readonly nextDropoutLayer: () => number;
}

/** A {@link BlockContext} for one forward pass, with diffusers' epsilon and dropout layers counted from 0. */
export function blockContext(
  options: Pick<BlockContext, 'parameter' | 'groups' | 'dropout' | 'randomness'> & { readonly eps?: number },
): BlockContext {
  let dropoutLayers = 0;
  return { eps: 1e-5, ...options, nextDropoutLayer: () => dropoutLayers++ };
}

/**
 * Convolution with bias that keeps height and width: the parameter `name.weight` says how large the kernel is, and half of it is
 * the zero padding. A 1x3 kernel runs along a signal [N, 1, L, C], a 3x1 kernel along the time of a video [N, T, H * W, C].
 */
export function convolution({ parameter }: LayerContext, name: string, x: Value): Value {
  const weight = parameter(`${name}.weight`);
  return conv2d(x, weight, parameter(`${name}.bias`), { padding: halfKernel(weight) });
}

/** The zeros on each side with which a convolution of stride 1 and odd kernel keeps the size. */
export function halfKernel(weight: Value): Padding {
  const [vertical = 0, horizontal = 0] = weight.shape.map((size) => (size - 1) / 2);
  return { top: vertical, bottom: vertical, left: horizontal, right: horizontal };
}

/** Linear map of the channels with bias. */
export function project({ parameter }: LayerContext, name: string, x: Value): Value {
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

/** The largest number of groups up to 32 that divides the channels of every level into groups of at least four. */
export function groupsFor(channels: readonly number[]): number {
  for (let groups = 32; groups > 1; groups--) {
    if (channels.every((count) => count % groups === 0 && count / groups >= 4)) return groups;
  }
  return 1;
}
