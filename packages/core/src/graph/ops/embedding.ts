import { DiffuseError } from '../../native/errors.ts';
import { emit, shapeText, type Value } from '../graph.ts';

/**
 * Rows of a table, `y[n] = table[index[n]]`. An index outside the table fails the run with `ERR_ARGUMENT`.
 *
 * @param table float32 [K, C]
 * @param index int32 [N], each in [0, K)
 * @returns float32 [N, C]
 */
export function embedding(table: Value, index: Value): Value {
  if (table.shape.length !== 2 || index.shape.length !== 1) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `embedding: table ${shapeText(table.shape)} and index ${shapeText(index.shape)}; expected [K, C] and [N]`,
    );
  }
  return emit({
    kernel: 'embedding_forward',
    outputs: { y: [index.shape[0] ?? 0, table.shape[1] ?? 0] },
    inputs: { table, index },
    gradient: ({ y: dy }) => ({
      table:
        dy && emit({ kernel: 'embedding_backward', outputs: { dtable: table.shape }, inputs: { dy, index } }).dtable,
    }),
  }).y;
}
