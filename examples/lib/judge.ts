import { energyDistance } from '@diffuse/core';

/** How far samples are from data, and how far the data are from themselves. */
export interface Judgement {
  /** Mean energy distance of sets of samples to the halves of the data. */
  readonly distance: number;
  /** Energy distance of one half of the data to the other, on average over all ways to halve them. */
  readonly floor: number;
  /** `distance / floor`: about 1 for a perfect model; see {@link largestRatio}. */
  readonly ratio: number;
}

/** The ratio that no example may exceed at its full size. */
export const largestRatio = 1.5;

/** Whether the samples are near enough to the data. */
export function isGood({ ratio }: Judgement): boolean {
  return ratio <= largestRatio;
}

/**
 * Judges samples by the energy distance. Finite sets of the same law have a distance above 0, so what half of the data has to the
 * other half tells what a perfect model would get. Of a single way to halve the data that would be a draw of the dice, some of them far
 * above their mean and easy to stay below; the mean over all ways has a closed form.
 *
 * @param data [2 * half, dimensions], flat.
 * @param samples [sets * half, dimensions], flat.
 */
export async function judge(data: Float32Array, samples: Float32Array, dimensions: number): Promise<Judgement> {
  const half = Math.floor(data.length / dimensions / 2);
  const set = (all: Float32Array, index: number): { data: Float32Array; shape: [number, number] } => ({
    data: all.subarray(index * half * dimensions, (index + 1) * half * dimensions),
    shape: [half, dimensions],
  });
  const distances: number[] = [];
  for (let index = 0; (index + 1) * half * dimensions <= samples.length; index++) {
    for (const side of [0, 1]) distances.push(await energyDistance(set(data, side), set(samples, index)));
  }
  const distance = distances.reduce((sum, value) => sum + value, 0) / distances.length;
  // Over all ways to halve them, points of two halves are as far apart as any two points, D; the mean within a half, each point with
  // itself included, is D (half - 1) / half. So 2 D - 2 D (half - 1) / half is left.
  const floor = (2 * meanDistance(data, dimensions)) / half;
  return { distance, floor, ratio: distance / floor };
}

/** Mean distance of two different rows. */
function meanDistance(data: Float32Array, dimensions: number): number {
  const count = data.length / dimensions;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      let squares = 0;
      for (let d = 0; d < dimensions; d++) {
        squares += ((data[i * dimensions + d] ?? 0) - (data[j * dimensions + d] ?? 0)) ** 2;
      }
      sum += Math.sqrt(squares);
    }
  }
  return (2 * sum) / (count * (count - 1));
}
