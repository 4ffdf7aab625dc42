import { noising } from '@diffuse/core';
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
): Record<string, Tensor64> {
  const [N = 0] = images.shape;
  const C = images.shape.at(-1) ?? 0;
  const W = images.shape.length > 2 ? (images.shape.at(-2) ?? 0) : 1;
  const size = images.data.length / N;
  const level = referenceUniform([N], { ...stream, purpose: 2 }).data.map((u) => Math.floor(u * T));
  const mirrored = referenceUniform([N], { ...stream, purpose: 4 }).data.map((u) => (flip && u >= 0.5 ? 1 : 0));
  const eps = referenceNormal(images.shape, { ...stream, purpose: 3 });
  const shift = referenceNormal([N, C], { ...stream, purpose: 9 });
  const column = (n: number, j: number): number => at(table, 6 * (level[n] as number) + j);
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
  };
}

const shapes: [string, number[]][] = [
  ['one pixel', [1, 1, 1, 1]],
  ['colour', [9, 8, 6, 3]],
  ['grey, odd sizes', [3, 31, 17, 1]],
  ['points', [5, 2]],
  ['more than one task', [2, 64, 64, 3]],
];

/** Op cases of `noising`. */
export const noisingCases: readonly OpCase[] = shapes.flatMap(([what, shape]) =>
  (shape.length > 2 ? [false, true] : [false]).flatMap((flip) =>
    (['u8', 'f32'] as const).map((dtype) =>
      typedCase({
        name: `noising, ${what}, ${dtype}${flip ? ', flipped' : ''}`,
        inputs: { images: { shape, dtype }, table: { shape: [T, 6] } },
        build: ({ images, table }) => ({ ...noising(images, table, { ...stream, flip, offsetNoise: flip ? 0.3 : 0 }) }),
        reference: ({ images, table }) => reference(images, table, dtype === 'u8', flip, flip ? 0.3 : 0),
        gradients: [],
      }),
    ),
  ),
);
