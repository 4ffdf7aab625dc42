import type { Pace } from '../pace.ts';
import { addTiles, columnsOf, GROUP, packVectors, products } from './tiles.ts';

/**
 * `C += A^T B`.
 *
 * @param c float64 [M, N]
 * @param a float64 [K, M]
 * @param b float64 [K, N]
 * @param shape [M, N, K]
 */
export async function addTransposedProduct(
  c: Float64Array,
  a: Float64Array,
  b: Float64Array,
  [m, n, k]: readonly [m: number, n: number, k: number],
  pace: Pace,
): Promise<void> {
  const rows = await packVectors(columnsOf(a, [k, m]), pace);
  const columns = await packVectors(columnsOf(b, [k, n]), pace);
  for (let group = 0; group < rows.groups; group++) {
    addTiles(products, rows, group, columns, c, { offset: group * GROUP * n });
    await pace();
  }
}

/**
 * `C += A^T A` where a block of columns does not lie left of its rows; {@link mirrorUpper} makes the rest.
 *
 * @param c float64 [N, N]
 * @param a float64 [K, N]
 * @param shape [N, K]
 */
export async function addGramUpper(
  c: Float64Array,
  a: Float64Array,
  [n, k]: readonly [n: number, k: number],
  pace: Pace,
): Promise<void> {
  const columns = await packVectors(columnsOf(a, [k, n]), pace);
  for (let group = 0; group < columns.groups; group++) {
    addTiles(products, columns, group, columns, c, { offset: group * GROUP * n, firstGroup: group });
    await pace();
  }
}

/** Multiplies a square matrix [n, n] by `factor` and copies what lies above the diagonal below it. */
export async function mirrorUpper(c: Float64Array, n: number, factor: number, pace: Pace): Promise<void> {
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      const value = (c[i * n + j] as number) * factor;
      c[i * n + j] = value;
      c[j * n + i] = value;
    }
    await pace();
  }
}
