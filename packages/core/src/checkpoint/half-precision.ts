/**
 * The float32 bit pattern of an IEEE 754 binary16 number. Exact for every input: subnormals become normal numbers,
 * infinities, signed zeros and the payload of NaNs are kept.
 */
function float16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13); // 112 = 127 - 15, the biases
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // brings the leading one to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/**
 * Widens binary16 numbers, given as bit patterns, to float32; exact.
 *
 * @param source bit patterns, [n] uint16.
 * @param target receives the values, [n] float32; may not overlap `source`.
 */
export function widenFloat16(source: Uint16Array, target: Float32Array): void {
  const bits = new Int32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < source.length; i += 1) bits[i] = float16Bits(source[i] as number);
}

/**
 * Widens bfloat16 numbers, given as bit patterns, to float32; exact.
 *
 * @param source bit patterns, [n] uint16.
 * @param target receives the values, [n] float32; may not overlap `source`.
 */
export function widenBfloat16(source: Uint16Array, target: Float32Array): void {
  const bits = new Int32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < source.length; i += 1) bits[i] = (source[i] as number) << 16;
}
