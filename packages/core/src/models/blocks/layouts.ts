import type { ParameterLayout } from '../parameter-layout.ts';

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
