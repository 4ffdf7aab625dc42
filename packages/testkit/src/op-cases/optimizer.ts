import { adamwEma, copy, gradientNorm } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

const lengths = [1, 17, 1000, 140_003];
const norm = (x: Tensor64): number => Math.sqrt(x.data.reduce((sum, g) => sum + g * g, 0));

/** Op cases of `gradientNorm`. */
export const gradientNormCases: readonly OpCase[] = [
  ...lengths.map((P) => ({ what: `${P} elements`, P, values: undefined })),
  // Squares that float32 cannot hold.
  { what: 'elements of 1e25', P: 1000, values: (i: number) => (i % 7) * 1e25 },
].map(({ what, P, values }) =>
  typedCase({
    name: `gradientNorm, ${what}`,
    inputs: { gradient: values ? { shape: [P], values } : { shape: [P] } },
    build: ({ gradient }) => ({ norm: gradientNorm(gradient) }),
    reference: ({ gradient }) => ({ norm: tensor64([1], () => norm(gradient)) }),
    tolerance: 1e-7,
    gradients: [],
  }),
);

/** The seventh step, of three accumulated batches. */
const step = 7;
const numbers = { learningRate: 1e-2, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.05, emaDecay: 0.9 };
const options = {
  ...numbers,
  biasCorrection1: 1 - numbers.beta1 ** step,
  biasCorrection2: 1 - numbers.beta2 ** step,
  gradientScale: 1 / 3,
};

type Inputs = Readonly<Record<'parameter' | 'firstMoment' | 'secondMoment' | 'ema' | 'gradient', Tensor64>>;

/** Loshchilov and Hutter 2019, algorithm 2, lines 4 to 12, on one element at a time. */
function reference(inputs: Inputs, clipNorm: number): Record<string, Tensor64> {
  const { parameter, firstMoment, secondMoment, ema, gradient } = inputs;
  const { learningRate, beta1, beta2, epsilon, weightDecay, biasCorrection1, biasCorrection2, emaDecay } = options;
  const length = norm(gradient) * options.gradientScale;
  const clip = clipNorm === 0 ? 1 : Math.min(1, clipNorm / (length + 1e-6));
  const every = (value: (i: number) => number): Tensor64 => tensor64(parameter.shape, value);
  const g = every((i) => at(gradient, i) * options.gradientScale * clip);
  const m = every((i) => beta1 * at(firstMoment, i) + (1 - beta1) * at(g, i));
  const v = every((i) => beta2 * at(secondMoment, i) + (1 - beta2) * at(g, i) ** 2);
  const p = every((i) => {
    const direction = at(m, i) / biasCorrection1 / (Math.sqrt(at(v, i) / biasCorrection2) + epsilon);
    return at(parameter, i) * (1 - learningRate * weightDecay) - learningRate * direction;
  });
  const average = every((i) => emaDecay * at(ema, i) + (1 - emaDecay) * at(p, i));
  return { parameter: p, firstMoment: m, secondMoment: v, ema: average };
}

/** Op cases of `adamwEma`, which changes copies of its inputs in place. */
export const adamwEmaCases: readonly OpCase[] = lengths.flatMap((P) =>
  (P > 1000 ? [0.5] : [0, 0.5, 1e6]).map((clipNorm) => {
    const shape = [P];
    return typedCase({
      name: `adamwEma, ${P} elements, ${clipNorm ? `norm at most ${clipNorm}` : 'no clipping'}`,
      inputs: {
        parameter: { shape },
        firstMoment: { shape },
        secondMoment: { shape, values: (i) => ((i * 31) % 97) / 50 },
        ema: { shape },
        gradient: { shape },
      },
      build: ({ gradient, ...state }) => {
        const changed = {
          parameter: copy(state.parameter),
          firstMoment: copy(state.firstMoment),
          secondMoment: copy(state.secondMoment),
          ema: copy(state.ema),
        };
        adamwEma({ ...changed, gradient, norm: gradientNorm(gradient) }, { ...options, clipNorm });
        return changed;
      },
      reference: (inputs) => reference(inputs, clipNorm),
      gradients: [],
    });
  }),
);
