import type { Network } from '../models/model.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Dataset } from './dataset.ts';

/** What {@link checkTraining} looks at. */
export interface CheckedOptions {
  readonly model: Network;
  readonly data: Dataset;
  readonly steps: number;
  readonly batchSize: number;
  readonly accumulate: number;
  readonly warmup: number;
  readonly clipNorm: number;
  readonly ema: number;
}

/**
 * Refuses options of a training run that cannot be meant.
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_DATA` naming the option.
 */
export function checkTraining(options: CheckedOptions): void {
  const { model, data, clipNorm, ema } = options;
  for (const [name, minimum] of [
    ['steps', 0],
    ['batchSize', 1],
    ['accumulate', 1],
    ['warmup', 0],
  ] as const) {
    const value = options[name];
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new DiffuseError('ERR_ARGUMENT', `${name} is ${value}; it must be an integer, at least ${minimum}`);
    }
  }
  if (!(clipNorm >= 0)) throw new DiffuseError('ERR_ARGUMENT', `clipNorm is ${clipNorm}; it must be at least 0`);
  if (!(ema >= 0 && ema < 1)) throw new DiffuseError('ERR_ARGUMENT', `ema is ${ema}; it must be in [0, 1)`);
  checkShape(model, data);
  if (data.count < 1) throw new DiffuseError('ERR_DATA', `there are no ${noun(data)} to train on`);
  if (model.classes !== null) checkLabels(model.classes, data);
}

function checkShape(model: Network, data: Dataset): void {
  if (data.shape.length === model.shape.length && data.shape.every((size, i) => size === model.shape[i])) return;
  const order = data.shape.length === 3 && model.shape.length === 3 ? ' (height x width x channels)' : '';
  throw new DiffuseError(
    'ERR_SHAPE',
    `the ${noun(data)} are ${data.shape.join(' x ')}, the model takes ${model.shape.join(' x ')}${order}`,
  );
}

function checkLabels(classes: number, { labels }: Dataset): void {
  if (!labels) {
    throw new DiffuseError('ERR_ARGUMENT', `the model is told one of ${classes} classes, but the data has no labels`);
  }
  const wrong = labels.find((label) => label < 0 || label >= classes);
  if (wrong !== undefined) {
    throw new DiffuseError('ERR_DATA', `the data has the label ${wrong}; the model knows 0 to ${classes - 1}`);
  }
}

function noun({ shape }: Dataset): string {
  return shape.length === 3 ? 'images' : 'samples';
}
