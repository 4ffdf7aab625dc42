import type { ParameterLayout } from '../parameter-layout.ts';
import type { TimeScaleShift } from './res-block.ts';

/** Parameters `name.weight` and `name.bias` of a normalisation: gain and bias of each channel. */
export function normLayout(name: string, channels: number): ParameterLayout[] {
  return [plainLayout(`${name}.weight`, channels), plainLayout(`${name}.bias`, channels)];
}

/** Parameters `name.weight` and `name.bias` of a linear map. */
export function linearLayout(name: string, inputs: number, outputs: number): ParameterLayout[] {
  return [{ name: `${name}.weight`, shape: [inputs, outputs], layout: 'linear' }, plainLayout(`${name}.bias`, outputs)];
}

/**
 * Parameters `name.weight` and `name.bias` of a convolution.
 *
 * @param kernel height and width: [1, 3] runs along a signal, [3, 1] along time.
 */
export function convolutionLayout(
  name: string,
  kernel: readonly [height: number, width: number],
  inputs: number,
  outputs: number,
): ParameterLayout[] {
  return [
    { name: `${name}.weight`, shape: [...kernel, inputs, outputs], layout: 'convolution' },
    plainLayout(`${name}.bias`, outputs),
  ];
}

/** A parameter that files hold as memory does. */
export function plainLayout(name: string, ...shape: number[]): ParameterLayout {
  return { name, shape, layout: 'plain' };
}

/** Parameters of `resBlock`: two convolutions with their normalisations, the projection of the time, and a shortcut where needed. */
export function resBlockLayout(
  name: string,
  {
    kernel,
    inputs,
    outputs,
    embedding,
    timeScaleShift = 'default',
  }: {
    readonly kernel: readonly [height: number, width: number];
    readonly inputs: number;
    readonly outputs: number;
    /** Width of the embedding of the time; null: the block is told none. */
    readonly embedding: number | null;
    readonly timeScaleShift?: TimeScaleShift;
  },
): ParameterLayout[] {
  return [
    ...normLayout(`${name}.norm1`, inputs),
    ...convolutionLayout(`${name}.conv1`, kernel, inputs, outputs),
    ...(embedding === null
      ? []
      : linearLayout(`${name}.time_emb_proj`, embedding, timeScaleShift === 'scale_shift' ? 2 * outputs : outputs)),
    ...normLayout(`${name}.norm2`, outputs),
    ...convolutionLayout(`${name}.conv2`, kernel, outputs, outputs),
    ...(inputs === outputs ? [] : convolutionLayout(`${name}.conv_shortcut`, [1, 1], inputs, outputs)),
  ];
}

/** Parameters of `attentionBlock`; without `withNorm` those of the attention alone. */
export function attentionLayout(name: string, channels: number, withNorm = true): ParameterLayout[] {
  return [
    ...(withNorm ? normLayout(`${name}.group_norm`, channels) : []),
    ...['to_q', 'to_k', 'to_v', 'to_out.0'].flatMap((map) => linearLayout(`${name}.${map}`, channels, channels)),
  ];
}
