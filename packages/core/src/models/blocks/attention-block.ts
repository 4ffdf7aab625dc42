import { reshape, type Value } from '../../graph/graph.ts';
import { attention } from '../../graph/ops/attention.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { type BlockContext, normalise, project } from './layers.ts';

/**
 * Self-attention over all pixels with a residual connection: `x + out(attention(q(n), k(n), v(n)))`, n = norm(x), over `scale`.
 * Vaswani et al. 2017, arXiv:1706.03762, section 3.2; softmax in float32.
 *
 * @param x float32 [N, H, W, C]
 * @param headChannels channels of a head; null is one head.
 * @param groups of the normalisation; null leaves it out.
 */
export function attentionBlock(
  context: BlockContext,
  name: string,
  x: Value,
  {
    headChannels,
    groups = context.groups,
    scale = 1,
  }: { headChannels: number | null; groups?: number | null; scale?: number },
): Value {
  return x.graph.scope(name, () => {
    const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
    const normalised = groups === null ? x : normalise(context, `${name}.group_norm`, x, { groups });
    const shape = [batch, height * width, channels];
    const tokens = reshape(normalised, shape);
    const heads = channels / (headChannels ?? channels);
    const attended = attention(
      project(context, `${name}.to_q`, tokens),
      project(context, `${name}.to_k`, tokens),
      project(context, `${name}.to_v`, tokens),
      { heads },
    );
    const out = project(context, `${name}.to_out.0`, attended);
    return reshape(add(reshape(x, shape), out, { alpha: 1 / scale, beta: 1 / scale }), x.shape);
  });
}
