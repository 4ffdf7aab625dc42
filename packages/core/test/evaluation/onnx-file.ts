// A writer of just so much of ONNX (a protocol buffer, https://onnx.ai/onnx/repo-docs/IR.html) that a test has a real file to load.

type Field = readonly [number: number, value: number | string | Uint8Array];

/** A message: fields with integers, texts, and messages or bytes. */
function message(...fields: readonly Field[]): Uint8Array {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(number * 8), ...varint(value)]);
      const bytes = Buffer.from(value);
      return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

const float32 = 1;

/** A named value of the graph; texts among the sides are free. */
function valueInfo(name: string, sides: readonly (number | string)[]): Uint8Array {
  const dims = sides.map((side): Field => [1, message(typeof side === 'number' ? [1, side] : [2, side])]);
  const tensor = message([1, float32], [2, message(...dims)]);
  return message([1, name], [2, message([1, tensor])]);
}

/**
 * A network of images [N, channels, height, width]: `features` [N, channels] are their means, `logits` [N, classes] the features times
 * `weights` [channels, classes].
 */
export function meanNetwork(
  [height, width, channels]: readonly [number, number, number],
  weights: Float32Array,
): Uint8Array {
  const classes = weights.length / channels;
  const attribute = (name: string, ...fields: readonly Field[]): Field => [5, message([1, name], ...fields)];
  const axes = attribute('axes', [8, 2], [8, 3], [20, 7]);
  const keep = attribute('keepdims', [3, 0], [20, 2]);
  const mean = message([1, 'images'], [2, 'features'], [4, 'ReduceMean'], axes, keep);
  const product = message([1, 'features'], [1, 'weights'], [2, 'logits'], [4, 'MatMul']);
  const raw = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  const graph = message(
    ...([mean, product] as const).map((node): Field => [1, node]),
    [2, 'means'],
    [5, message([1, channels], [1, classes], [2, float32], [8, 'weights'], [9, raw])],
    [11, valueInfo('images', ['N', channels, height, width])],
    [12, valueInfo('features', ['N', channels])],
    [12, valueInfo('logits', ['N', classes])],
  );
  return message([1, 8], [7, graph], [8, message([1, ''], [2, 13])]);
}
