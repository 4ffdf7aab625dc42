import { noising, type Value } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { referenceNormal, referenceUniform } from './random-reference.ts';
import { at, typedCase } from './typed-case.ts';

const T = 1000;
const stream = { seedLow: 99, seedHigh: 1, step: 1234, sampleOffset: 40 };

function reference(
  images: Tensor64,
  table: Tensor64,
  bytes: boolean,
  flip: boolean,
  offsetNoise: number,
  given?: Tensor64,
): Record<string, Tensor64> {
  const [N = 0] = images.shape;
  const C = images.shape.at(-1) ?? 0;
  const W = images.shape.length > 2 ? (images.shape.at(-2) ?? 0) : 1;
  const size = images.data.length / N;
  const drawn = referenceUniform([N], { ...stream, purpose: 2 }).data.map((u) => Math.floor(u * T));
  const level = given?.data ?? drawn;
  const columns = table.shape[1] as number;
  const mirrored = referenceUniform([N], { ...stream, purpose: 4 }).data.map((u) => (flip && u >= 0.5 ? 1 : 0));
  const eps = referenceNormal(images.shape, { ...stream, purpose: 3 });
  const shift = referenceNormal([N, C], { ...stream, purpose: 9 });
  const column = (n: number, j: number): number => at(table, columns * (level[n] as number) + j);
  const mix = (i: number, ofX0: number, ofEps: number): number => {
    const n = Math.floor(i / size);
    const w = Math.floor(i / C) % W;
    const from = mirrored[n] ? i + (W - 1 - 2 * w) * C : i;
    const x0 = bytes ? at(images, from) / 127.5 - 1 : at(images, from);
    const noise = at(eps, i) + offsetNoise * at(shift, n * C + (i % C));
    return column(n, ofX0) * x0 + column(n, ofEps) * noise;
  };
  return {
    xt: tensor64(images.shape, (i) => mix(i, 0, 1)),
    target: tensor64(images.shape, (i) => mix(i, 2, 3)),
    timestep: tensor64([N], (n) => column(n, 5)),
    weight: tensor64([N], (n) => column(n, 4)),
    ...(columns > 6 && {
      extra: tensor64([N, columns - 6], (i) => column(Math.floor(i / (columns - 6)), 6 + (i % (columns - 6)))),
    }),
  };
}

const shapes: [string, number[]][] = [
  ['one pixel', [1, 1, 1, 1]],
  ['colour', [9, 8, 6, 3]],
  ['grey, odd sizes', [3, 31, 17, 1]],
  ['points', [5, 2]],
  ['more than one task', [2, 64, 64, 3]],
];

/** The levels are given, and have three numbers more. */
const givenLevels: readonly OpCase[] = shapes.map(([what, shape]) =>
  typedCase({
    name: `noising, ${what}, levels given`,
    inputs: {
      images: { shape, dtype: 'u8' },
      table: { shape: [T, 9] },
      level: { shape: [shape[0] as number], values: (n) => (n * 333 + T - 1) % T },
    },
    build: ({ images, table, level }) => {
      const { extra, ...noised } = noising(images, table, { ...stream, level });
      return { ...noised, extra: extra as Value };
    },
    reference: ({ images, table, level }) => reference(images, table, true, false, 0, level),
    gradients: [],
  }),
);

const drawnLevels: readonly OpCase[] = shapes.flatMap(([what, shape]) =>
  (shape.length > 2 ? [false, true] : [false]).flatMap((flip) =>
    (['u8', 'f32'] as const).map((dtype) =>
      typedCase({
        name: `noising, ${what}, ${dtype}${flip ? ', flipped' : ''}`,
        inputs: { images: { shape, dtype }, table: { shape: [T, 6] } },
        build: ({ images, table }) => {
          const { extra: _, ...noised } = noising(images, table, { ...stream, flip, offsetNoise: flip ? 0.3 : 0 });
          return noised;
        },
        reference: ({ images, table }) => reference(images, table, dtype === 'u8', flip, flip ? 0.3 : 0),
        gradients: [],
      }),
    ),
  ),
);

/** Op cases of `noising`. */
export const noisingCases: readonly OpCase[] = [...drawnLevels, ...givenLevels];
