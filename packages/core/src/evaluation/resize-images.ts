import type { ImagesShape } from './feature-network.ts';

/**
 * Resizes images by bilinear interpolation between the centres of pixels, without smoothing before: as
 * `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` does, which pytorch-fid feeds Inception with. Meant for
 * enlarging; a reduction to less than half leaves pixels out.
 *
 * @param images float32 [count, height, width, channels]; returned as they are when they have the size already.
 */
export function resizeImages(
  images: Float32Array,
  [count, fromHeight, fromWidth, channels]: ImagesShape,
  [height, width]: readonly [height: number, width: number],
): Float32Array {
  if (fromHeight === height && fromWidth === width) return images;
  const result = new Float32Array(count * height * width * channels);
  const rows = taps(fromHeight, height);
  const columns = taps(fromWidth, width);
  const value = (image: number, y: number, x: number, c: number): number =>
    images[((image * fromHeight + y) * fromWidth + x) * channels + c] as number;
  let at = 0;
  for (let image = 0; image < count; image++) {
    for (const [y0, y1, down] of rows) {
      for (const [x0, x1, right] of columns) {
        for (let c = 0; c < channels; c++) {
          const upper = value(image, y0, x0, c) * (1 - right) + value(image, y0, x1, c) * right;
          const lower = value(image, y1, x0, c) * (1 - right) + value(image, y1, x1, c) * right;
          result[at++] = upper * (1 - down) + lower * down;
        }
      }
    }
  }
  return result;
}

/** For each pixel of a side of length `to`: the two pixels that it lies between, and the weight of the second. */
function taps(from: number, to: number): readonly (readonly [first: number, second: number, weight: number])[] {
  return Array.from({ length: to }, (_, i) => {
    const centre = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const first = Math.min(from - 1, Math.floor(centre));
    return [first, Math.min(from - 1, first + 1), centre - first] as const;
  });
}
