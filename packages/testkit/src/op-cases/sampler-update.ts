import { samplerUpdate } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { referenceNormal } from './random-reference.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

const stream = { seedLow: 5, seedHigh: 6, step: 17, sampleOffset: 3 };
const linear = {
  x0FromX: 1.3,
  x0FromPrediction: -0.7,
  coefficientX: 0.5,
  coefficientX0: 0.4,
  coefficientPrediction: -0.2,
  historyFromX: 0.3,
  historyFromX0: 0.9,
  logVarianceLow: -3,
  logVarianceHigh: -2,
};

interface Variant {
  readonly what: string;
  readonly clip: number;
  readonly coefficientHistory: number;
  readonly coefficientNoise: number;
  readonly coefficientOlder: number;
  readonly history: boolean;
  readonly variance: boolean;
  /** Where z comes from. */
  readonly noise: 'given' | 'philox';
}

const plain = {
  clip: Number.POSITIVE_INFINITY,
  coefficientHistory: 0,
  coefficientOlder: 0,
  coefficientNoise: 0,
  history: false,
  variance: false,
};
const variants: readonly Variant[] = [
  { ...plain, what: 'deterministic', noise: 'philox' },
  { ...plain, what: 'clipped, own noise', clip: 0.8, coefficientNoise: 0.3, noise: 'philox' },
  {
    ...plain,
    what: 'history and given noise',
    coefficientHistory: -0.6,
    coefficientNoise: 0.3,
    coefficientOlder: 0.7,
    history: true,
    noise: 'given',
  },
  { ...plain, what: 'predicted variance', coefficientNoise: 1.5, variance: true, noise: 'philox' },
];

type Inputs = Readonly<Record<'x' | 'prediction' | 'history' | 'older' | 'noise' | 'variance', Tensor64>>;

function reference(
  { x, prediction, history, older, noise, variance }: Inputs,
  variant: Variant,
): Record<string, Tensor64> {
  const { clip, coefficientHistory, coefficientOlder, coefficientNoise } = variant;
  const deviation = (i: number): number =>
    variant.variance ? coefficientNoise * Math.exp((-3 + (at(variance, i) + 1) / 2) / 2) : coefficientNoise;
  const z = variant.noise === 'given' ? noise : referenceNormal(x.shape, { ...stream, purpose: 8 });
  const x0 = tensor64(x.shape, (i) => {
    const estimate = linear.x0FromX * at(x, i) + linear.x0FromPrediction * at(prediction, i);
    return Math.min(clip, Math.max(-clip, estimate));
  });
  const xNext = tensor64(
    x.shape,
    (i) =>
      linear.coefficientX * at(x, i) +
      linear.coefficientX0 * at(x0, i) +
      linear.coefficientPrediction * at(prediction, i) +
      coefficientHistory * at(history, i) +
      coefficientOlder * at(older, i) +
      deviation(i) * at(z, i),
  );
  return { xNext, x0 };
}

/** Op cases of `samplerUpdate`. */
export const samplerUpdateCases: readonly OpCase[] = activationShapes.flatMap(([what, shape]) =>
  variants.map((variant) => {
    const { clip, coefficientHistory, coefficientOlder, coefficientNoise } = variant;
    const numbers = { ...linear, ...stream, clip, coefficientHistory, coefficientOlder, coefficientNoise };
    return typedCase({
      name: `samplerUpdate, ${variant.what}, ${what}`,
      inputs: {
        x: { shape },
        prediction: { shape },
        history: { shape },
        older: { shape },
        noise: { shape },
        variance: { shape },
      },
      build: ({ x, prediction, history, older, noise, variance }) => ({
        ...samplerUpdate(
          {
            x,
            prediction,
            history: variant.history ? history : undefined,
            older: variant.history ? older : undefined,
            variance: variant.variance ? variance : undefined,
            noise: variant.noise === 'given' ? noise : undefined,
          },
          numbers,
        ),
      }),
      reference: (inputs) => reference(inputs, variant),
      gradients: [],
    });
  }),
);
