import {
  compile,
  conv2d,
  createSchedule,
  type Dataset,
  type Device,
  Graph,
  gaussianDiffusion,
  matmul,
  train,
  UNet2D,
} from '@diffuse/core';

/** One check and how it went. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** The figure that decided. */
  readonly detail: string;
}

/**
 * Runs a matrix product, a convolution and a few training steps on the device, and compares the first two with the same sums in
 * float64. Sizes are odd, so that the edges of every vector loop are passed.
 */
export async function selfCheck(device: Device): Promise<readonly CheckResult[]> {
  return [
    await checked('matrix product', () => checkMatmul(device)),
    await checked('convolution', () => checkConvolution(device)),
    await checked('training step', () => checkTraining(device)),
  ];
}

type Outcome = Omit<CheckResult, 'name'>;

async function checked(name: string, check: () => Promise<Outcome>): Promise<CheckResult> {
  try {
    return { name, ...(await check()) };
  } catch (error) {
    return { name, ok: false, detail: (error as Error).message };
  }
}

/** Numbers in [-1, 1) that are the same everywhere (a linear congruential generator, Knuth's constants). */
function numbers(count: number, seed: number): Float32Array {
  let state = BigInt(seed);
  return Float32Array.from({ length: count }, () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number(state >> 40n) / 2 ** 23 - 1;
  });
}

async function checkMatmul(device: Device): Promise<Outcome> {
  const [rows, inner, wide] = [37, 129, 53];
  const a = numbers(rows * inner, 1);
  const b = numbers(inner * wide, 2);
  const graph = new Graph();
  const c = matmul(graph.input('a', [rows, inner]), graph.input('b', [inner, wide]));
  using program = compile(graph, { device, outputs: { c } });
  const result = await program.run({ inputs: { a, b } });
  const expected = (index: number): [sum: number, magnitude: number] => {
    const [row, column] = [Math.floor(index / wide), index % wide];
    return dot(inner, (k) => [at(a, row * inner + k), at(b, k * wide + column)]);
  };
  return compare(result.c, expected, inner);
}

async function checkConvolution(device: Device): Promise<Outcome> {
  const [height, width, inputs, outputs] = [7, 9, 5, 19];
  const x = numbers(height * width * inputs, 3);
  const weight = numbers(9 * inputs * outputs, 4);
  const graph = new Graph();
  const y = conv2d(
    graph.input('x', [1, height, width, inputs]),
    graph.input('weight', [3, 3, inputs, outputs]),
    undefined,
    {
      padding: 1,
    },
  );
  using program = compile(graph, { device, outputs: { y } });
  const result = await program.run({ inputs: { x, weight } });
  const expected = (index: number): [sum: number, magnitude: number] => {
    const [pixel, channel] = [Math.floor(index / outputs), index % outputs];
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    return dot(9 * inputs, (k) => {
      const [tap, input] = [Math.floor(k / inputs), k % inputs];
      const [i, j] = [row + Math.floor(tap / 3) - 1, column + (tap % 3) - 1];
      const inside = i >= 0 && i < height && j >= 0 && j < width;
      return [inside ? at(x, (i * width + j) * inputs + input) : 0, at(weight, k * outputs + channel)];
    });
  };
  return compare(result.y, expected, 9 * inputs);
}

/** A sum of products in float64, and the sum of their magnitudes, which bounds what rounding may do. */
function dot(length: number, factors: (k: number) => [number, number]): [sum: number, magnitude: number] {
  let sum = 0;
  let magnitude = 0;
  for (let k = 0; k < length; k++) {
    const [a, b] = factors(k);
    sum += a * b;
    magnitude += Math.abs(a * b);
  }
  return [sum, magnitude];
}

/** Holds each sum of n products to the bound n u sum |a b|, u = 2^-24 (Higham 2002, section 3.1). */
function compare(actual: Float32Array, expected: (index: number) => [number, number], terms: number): Outcome {
  let worst = 0;
  actual.forEach((value, index) => {
    const [sum, magnitude] = expected(index);
    worst = Math.max(worst, Math.abs(value - sum) / (magnitude * terms * 2 ** -24));
  });
  const ok = worst <= 1;
  return { ok, detail: `largest error is ${(100 * worst).toFixed(1)} % of the bound of float32` };
}

async function checkTraining(device: Device): Promise<Outcome> {
  const [side, count, steps] = [8, 16, 3];
  const shape = [side, side, 1] as const;
  const pixels = Uint8Array.from(numbers(count * side * side, 5), (value) => Math.round((value + 1) * 127.5));
  const data: Dataset = {
    shape,
    count,
    fingerprint: 'random',
    async read(indices, target) {
      indices.forEach((index, i) => {
        target.set(pixels.subarray(index * side * side, (index + 1) * side * side), i * side * side);
      });
    },
  };
  const model = new UNet2D({ shape, channels: [8, 16], layers: 1, attention: [4] });
  const diffusion = gaussianDiffusion({ schedule: createSchedule('cosine'), predict: 'v' });
  let last = Number.NaN;
  for await (const { loss } of train({ model, diffusion, data, device, steps, batchSize: 8 })) last = loss;
  return { ok: Number.isFinite(last), detail: `the loss after ${steps} steps on noise is ${last.toFixed(3)}` };
}

function at(array: Float32Array, index: number): number {
  return array[index] ?? Number.NaN;
}
