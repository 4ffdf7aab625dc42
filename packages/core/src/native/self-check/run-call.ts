import type { NativeDevice, NativeProgramDescription } from '../bindings.ts';
import { type KernelTensor, kernelSignature, kernelSignatures } from '../kernels.ts';
import type { CallTensor, KernelCall } from './kernel-calls.ts';

/** The format of a call's images. */
export type ImageFormat = 'f32' | 'bf16';
type Format = Exclude<CallTensor['format'], 'image'>;

const formats = {
  f32: { code: 0, bytes: 4 },
  u8: { code: 1, bytes: 1 },
  i32: { code: 2, bytes: 4 },
  bf16: { code: 3, bytes: 2 },
} as const satisfies Record<Format, { code: number; bytes: number }>;

/** Arenas are laid out so that every tensor may be loaded 128 bits at a time. */
const alignment = 256;

/** What a call wrote: of each output its numbers, and whether they were rounded to bf16. */
export type CallOutputs = Readonly<Record<string, { readonly values: Float32Array; readonly rounded: boolean }>>;

interface Placed {
  readonly spec: KernelTensor;
  readonly tensor: CallTensor;
  readonly format: Format;
  readonly byteOffset: number;
  readonly count: number;
}

/** Runs one call on a device, its tensors filled with the same numbers each time. */
export async function runCall(device: NativeDevice, call: KernelCall, images: ImageFormat): Promise<CallOutputs> {
  const { placed, arenaBytes } = place(call, images);
  const program = device.compile({ arenaBytes, scalarCount: 0, names: [call.kernel], code: encode(call, placed) }, []);
  try {
    const inputs = placed.map((tensor, i) => contents(call, tensor, i));
    const { outputs } = await program.run(new Float64Array(0), inputs, { checkFinite: false, profile: false });
    const written = placed.filter(({ spec }) => spec.output);
    return Object.fromEntries(
      written.map(({ spec, format }, i) => [spec.name, read(outputs[i] as ArrayBuffer, format)]),
    );
  } finally {
    program.dispose();
  }
}

function place({ kernel, tensors }: KernelCall, images: ImageFormat): { placed: Placed[]; arenaBytes: number } {
  const placed: Placed[] = [];
  let arenaBytes = 0;
  for (const spec of kernelSignature(kernel).tensors) {
    const tensor = tensors[spec.name];
    if (!tensor) continue;
    const format = tensor.format === 'image' ? images : tensor.format;
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    placed.push({ spec, tensor, format, byteOffset: arenaBytes, count });
    arenaBytes += Math.ceil((count * formats[format].bytes) / alignment) * alignment;
  }
  return { placed, arenaBytes };
}

/** Every tensor is an input of the program, outputs too; the layout is that of {@link NativeProgramDescription}. */
function encode({ kernel, attributes }: KernelCall, placed: readonly Placed[]): Float64Array {
  const describe = ({ tensor: { shape }, format, byteOffset }: Placed): number[] => {
    return [-1, byteOffset, formats[format].code, shape.length, ...shape, shape.at(-1) ?? 1];
  };
  const signature = kernelSignature(kernel);
  const written = placed.filter(({ spec }) => spec.output);
  const code = [placed.length, written.length, ...[...placed, ...written].flatMap(describe)];
  code.push(Object.keys(kernelSignatures).indexOf(kernel), signature.tensors.length, signature.attributes.length);
  for (const spec of signature.tensors) {
    const found = placed.find((tensor) => tensor.spec === spec);
    code.push(...(found ? describe(found) : [-2, 0, 0, 1, 1, 1]));
  }
  for (const name of signature.attributes) code.push(attributes[name] ?? 0, -1);
  return Float64Array.from(code);
}

/** What the kernel reads; NaN in what it only writes, so that what it leaves out is seen. */
function contents({ kernel }: KernelCall, { spec, tensor, format, count }: Placed, index: number): ArrayBufferView {
  if (spec.output && kernel !== 'adamw_ema') return new Uint8Array(count * formats[format].bytes).fill(0xff);
  const next = uniform(index + 1);
  const values = Float32Array.from({ length: count }, () => tensor.value(next()));
  if (format === 'u8') return Uint8Array.from(values);
  if (format === 'i32') return Int32Array.from(values);
  return format === 'bf16' ? toBf16(values) : values;
}

/** Numbers in [0, 1) that are the same everywhere (a linear congruential generator, Knuth's constants). */
function uniform(seed: number): () => number {
  let state = (BigInt(seed) * 0x9e3779b97f4a7c15n + 1n) & 0xffffffffffffffffn;
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number(state >> 40n) / 2 ** 24;
  };
}

/** A bf16 is the upper half of a float32; what is left out rounds to the nearest, halves up. */
function toBf16(values: Float32Array): Uint16Array {
  return Uint16Array.from(new Uint32Array(values.buffer), (bits) => (bits + 0x8000) >>> 16);
}

function read(bytes: ArrayBuffer, format: Format): CallOutputs[string] {
  if (format !== 'bf16') return { values: new Float32Array(bytes), rounded: false };
  const widened = Uint32Array.from(new Uint16Array(bytes), (half) => half << 16);
  return { values: new Float32Array(widened.buffer), rounded: true };
}
