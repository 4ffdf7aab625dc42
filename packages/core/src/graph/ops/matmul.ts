import { DiffuseError } from '../../native/errors.ts';
import { emit, shapeText, type Value } from '../graph.ts';

/** Options of {@link matmul}. */
export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/**
 * Matrix product, `c = op(a) op(b)`.
 *
 * @param a float32 [M, K], or [K, M] with `transposeA`
 * @param b float32 [K, N], or [N, K] with `transposeB`
 * @returns float32 [M, N]
 * @throws `ERR_SHAPE` when the shapes do not fit
 */
export function matmul(a: Value, b: Value, { transposeA = false, transposeB = false }: MatmulOptions = {}): Value {
  const [rows = 0, innerA] = transposeA ? [...a.shape].reverse() : a.shape;
  const [innerB, columns = 0] = transposeB ? [...b.shape].reverse() : b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || innerA !== innerB) {
    throw new DiffuseError('ERR_SHAPE', `matmul: ${shapeText(a.shape)} and ${shapeText(b.shape)} do not fit`);
  }
  return emit({
    kernel: 'matmul',
    outputs: { c: [rows, columns] },
    inputs: { a, b },
    attributes: { transposeA: Number(transposeA), transposeB: Number(transposeB) },
    gradient: ({ c: dc }, wanted) => {
      if (!dc) return {};
      const da = (): Value =>
        transposeA
          ? matmul(b, dc, { transposeA: transposeB, transposeB: true })
          : matmul(dc, b, { transposeB: !transposeB });
      const db = (): Value =>
        transposeB
          ? matmul(dc, a, { transposeA: true, transposeB: transposeA })
          : matmul(a, dc, { transposeA: !transposeA });
      return { a: wanted.has('a') ? da() : undefined, b: wanted.has('b') ? db() : undefined };
    },
  }).c;
}
