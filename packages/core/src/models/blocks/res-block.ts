import type { Value } from '../../graph/graph.ts';
import { addChannels } from '../../graph/ops/add-channels.ts';
import { dropout } from '../../graph/ops/dropout.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { scaleShift } from '../../graph/ops/scale-shift.ts';
import { silu } from '../../graph/ops/silu.ts';
import { type BlockContext, convolution, normalise, project } from './layers.ts';

/** How the time embedding enters a residual block: added after the first convolution, or as scale and shift after the norm. */
export type TimeScaleShift = 'default' | 'scale_shift';

/**
 * Residual block: `shortcut(x) + conv2(dropout(silu(norm2(conv1(silu(norm1(x))) + W silu(time)))))`, over `scale`.
 * Ho et al. 2020, appendix B; scale and shift after Dhariwal and Nichol 2021 (arXiv:2105.05233), section 3.1.
 *
 * @param x float32 [N, H, W, Cin]
 * @param time embedding of the timestep, float32 [N, E]; undefined in networks that are told none
 * @param channels Cout; where it differs from Cin a 1x1 convolution makes the shortcut.
 * @returns float32 [N, H, W, Cout]
 */
export function resBlock(
  context: BlockContext,
  name: string,
  x: Value,
  time: Value | undefined,
  { channels, timeScaleShift, scale = 1 }: { channels: number; timeScaleShift: TimeScaleShift; scale?: number },
): Value {
  return x.graph.scope(name, () => {
    const shift = time && project(context, `${name}.time_emb_proj`, silu(time));
    let h = convolution(context, `${name}.conv1`, normalise(context, `${name}.norm1`, x, { silu: true }));
    if (!shift || timeScaleShift === 'default') {
      h = normalise(context, `${name}.norm2`, shift ? addChannels(h, shift) : h, { silu: true });
    } else {
      h = silu(scaleShift(normalise(context, `${name}.norm2`, h), shift));
    }
    if (context.dropout > 0 && context.randomness) {
      h = dropout(h, { ...context.randomness, probability: context.dropout, layer: context.nextDropoutLayer() });
    }
    h = convolution(context, `${name}.conv2`, h);
    const shortcut = x.shape.at(-1) === channels ? x : convolution(context, `${name}.conv_shortcut`, x);
    return add(shortcut, h, { alpha: 1 / scale, beta: 1 / scale });
  });
}
