import { DiffuseError } from '../native/errors.ts';
import type { Condition } from './blocks/condition.ts';

/**
 * Refuses options that make no U-Net.
 *
 * @param model name of the factory, for the message.
 * @param options `rank`: how many numbers `shape` has; `halved`: the sizes that every level but the first halves.
 * @throws `ERR_ARGUMENT` naming the option.
 */
export function checkUNetOptions(
  model: string,
  options: {
    readonly shape: readonly number[];
    readonly rank: number;
    readonly channels: readonly number[];
    readonly layers: number;
    readonly dropout: number;
    readonly halved: Readonly<Record<string, number>>;
  },
): void {
  const { shape, rank, channels, layers, dropout, halved } = options;
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `${model}: ${problem}`);
  };
  const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  if (shape.length !== rank || !shape.every(isSize)) {
    refuse(`shape is [${shape.join(', ')}]; it must be ${rank} positive integers`);
  }
  if (channels.length === 0 || !channels.every((count) => isSize(count) && count % 2 === 0)) {
    refuse(`channels is [${channels.join(', ')}]; it must be even positive integers, one for each level`);
  }
  if (!isSize(layers)) refuse(`layers is ${layers}; it must be a positive integer`);
  if (!(dropout >= 0 && dropout < 1)) refuse(`dropout is ${dropout}; it must be in [0, 1)`);
  const multiple = 2 ** (channels.length - 1);
  for (const [name, size] of Object.entries(halved)) {
    if (size % multiple !== 0) {
      refuse(`the ${name} is ${size}; ${channels.length} levels need a multiple of ${multiple}`);
    }
  }
}

/** What a U-Net of these channels is told: as in `UNet2D`, sinusoids as many as its first channels, an embedding of four times them. */
export function embeddingOf(channels: readonly number[], classRows: number | null): Condition {
  const [first = 2] = channels;
  return { sinusoids: first, width: 4 * first, classRows };
}
