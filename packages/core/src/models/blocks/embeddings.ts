import type { Value } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { embedding } from '../../graph/ops/embedding.ts';
import { silu } from '../../graph/ops/silu.ts';
import { fourierEmbedding, timeEmbedding } from '../../graph/ops/time-embedding.ts';
import { DiffuseError } from '../../native/errors.ts';
import type { UNet2DConfig } from '../unet2d-config.ts';
import { type BlockContext, project } from './layers.ts';

/**
 * What the network is told beside the image: sinusoids of the timestep through a two-layer network, plus the class.
 *
 * @param t float32 [N]
 * @param labels int32 [N] (a table of classes), float32 [N] (`timestep`) or float32 [N, E] (`identity`)
 * @returns float32 [N, E]
 */
export function conditionEmbedding(
  context: BlockContext,
  config: UNet2DConfig,
  t: Value,
  labels: Value | undefined,
): Value {
  const time = t.graph.scope('time_embedding', () => mlp(context, 'time_embedding', project1d(context, config, t)));
  const conditional = config.classEmbedType !== null || config.numClassEmbeds !== null;
  if (conditional !== (labels !== undefined)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      conditional ? 'the model is told a class: give labels' : 'the model is not told a class, but labels were given',
    );
  }
  if (!labels) return time;
  return t.graph.scope('class_embedding', () => add(time, classEmbedding(context, config, labels)));
}

function classEmbedding(context: BlockContext, config: UNet2DConfig, labels: Value): Value {
  if (config.classEmbedType === 'identity') return labels;
  if (config.classEmbedType === 'timestep') return mlp(context, 'class_embedding', project1d(context, config, labels));
  return embedding(context.parameter('class_embedding.weight'), labels);
}

/** Numbers to sinusoids: [N] → [N, blockOutChannels[0]], twice as many for Fourier features. */
function project1d(context: BlockContext, config: UNet2DConfig, t: Value): Value {
  const dimension = config.blockOutChannels[0] ?? 1;
  const { freqShift, flipSinToCos } = config;
  // diffusers does not hand flip_sin_to_cos on to Fourier features: sines always come first.
  if (config.timeEmbeddingType === 'fourier') return fourierEmbedding(t, context.parameter('time_proj.weight'));
  return timeEmbedding(t, { dimension, frequencyShift: freqShift, flipSinToCos });
}

function mlp(context: BlockContext, name: string, x: Value): Value {
  return project(context, `${name}.linear_2`, silu(project(context, `${name}.linear_1`, x)));
}
