import { join } from 'node:path';
import { saveImages } from '@diffuse/data';
import { type BenchConfig, benchModel } from '../configs.ts';
import { noiseBytes } from './train-session.ts';

/** Flags of `diffuse train` for one step of a network on a folder of noise, all but `--out`. */
export async function trainFlags(config: BenchConfig, folder: string, threads: number): Promise<readonly string[]> {
  const { shape } = benchModel(config);
  const images = join(folder, 'images');
  const [height = 1, width = 1, channels = 1] = shape;
  const count = config.batch;
  await saveImages(images, {
    data: noiseBytes(count * height * width * channels),
    shape: [count, height, width, channels],
  });
  const {
    block_out_channels: blocks,
    down_block_types: types,
    layers_per_block: layers,
  } = config.diffusers as {
    readonly block_out_channels: readonly number[];
    readonly down_block_types: readonly string[];
    readonly layers_per_block: number;
  };
  const attention = types.flatMap((type, level) => (type.startsWith('Attn') ? [height / 2 ** level] : []));
  return [
    ...['--data', images, '--cache-dir', join(folder, 'cache'), '--threads', String(threads)],
    ...['--model-channels', blocks.join(','), '--layers', String(layers), '--attention', attention.join(',')],
    ...['--batch-size', String(config.batch), '--steps', '1', '--preview-every', '0', '--checkpoint-every', '0'],
  ];
}
