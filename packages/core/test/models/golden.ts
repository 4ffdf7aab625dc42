import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';

/** Folder of the golden pipelines and their fixtures; see golden/unet_tiny.py. */
export function goldenFolder(name: string): string {
  return join(dirname(fileURLToPath(import.meta.url)), '../../../../golden', name);
}

/** Every tensor of a fixture. Tensors of rank 4 that are images come as [N, H, W, C]. */
export async function loadFixture(name: string): Promise<(tensor: string) => Promise<Float32Array>> {
  const path = join(goldenFolder(name), 'fixture.safetensors');
  return async (tensor) => {
    await using file = await openSafetensors(path);
    const entry = file.tensors.get(tensor);
    if (entry?.dtype === 'I64') return Float32Array.from((await file.read(tensor)) as BigInt64Array, Number);
    const values = await file.readFloat32(tensor);
    const isImage = entry?.shape.length === 4 && !tensor.startsWith('grad.');
    return isImage ? channelsLast(values, entry?.shape ?? []) : values;
  };
}

/** [N, C, H, W] → [N, H, W, C] */
export function channelsLast(
  values: Float32Array,
  [samples = 1, channels = 1, height = 1, width = 1]: readonly number[],
): Float32Array {
  const out = new Float32Array(values.length);
  const pixels = height * width;
  for (let n = 0; n < samples; n++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++)
        out[(n * pixels + p) * channels + c] = values[(n * channels + c) * pixels + p] ?? 0;
    }
  }
  return out;
}

/** Largest |a - b|; infinite where the lengths differ or something is NaN. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs((a[i] ?? Number.NaN) - (b[i] ?? Number.NaN));
    if (!(d <= largest)) largest = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return largest;
}

/** ‖a - b‖ / ‖b‖ */
export function relativeL2(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? Number.NaN) - (b[i] ?? 0)) ** 2;
    norm += (b[i] ?? 0) ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, 1e-30));
}
