import { elementCount, type HybridLossOptions, hybridLoss } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { normalMass } from './normal-mass.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

const HALF_LEVEL = 1 / 255;

/** A sample's row: precision, span, kind, logVariance, x0FromX, x0FromPrediction. */
type Level = readonly number[];

const steps = [
  [1.7, 0.8, 0, 0, 0, 0],
  [0.3, 2.5, 0, 0, 0, 0],
];

/** What the levels of a case's samples are, one after the other. */
const kinds: Readonly<Record<string, readonly Level[]>> = {
  steps,
  'real numbers': [[2, 0.7, 1, -3, 0, 0], ...steps],
  // The deviations are 0.01, so that a prediction lies up to hundreds of them away, and 0.8.
  bytes: [[0, 0.6, 2, 2 * Math.log(0.01), 0.5, 0.3], [0, 1.2, 2, 2 * Math.log(0.8), 0, 1], ...steps],
};

const objectives: Readonly<Record<string, HybridLossOptions>> = {
  hybrid: { simpleWeight: 1, boundWeight: 0.4, boundScale: 3, throughMean: false },
  bound: { simpleWeight: 0, boundWeight: 1, boundScale: 3, throughMean: true },
};

interface Inputs {
  readonly output: Tensor64;
  readonly xt: Tensor64;
  readonly target: Tensor64;
  readonly weight: Tensor64;
  readonly coefficients: Tensor64;
  readonly importance: Tensor64;
  /** What the network says as far as no gradient goes through it: the same numbers as `output`. */
  readonly still: Tensor64;
}

/** An element's part of the bound in nats. */
function nats([precision, span, kind, logVariance, x0FromX, x0FromPrediction]: number[], e: number, v: number) {
  return (x: number, target: number): number => {
    const r = ((v + 1) / 2) * (span as number);
    const error = (precision as number) * e * e * Math.exp(-r);
    if (kind === 0) return 0.5 * (error + Math.exp(-r) - 1 + r);
    if (kind === 1) return 0.5 * (Math.log(2 * Math.PI) + (logVariance as number) + r + error);
    const x0 = (x0FromX as number) * x + (x0FromPrediction as number) * target;
    const centred = (x0FromPrediction as number) * e;
    const s = Math.exp(-((logVariance as number) + r) / 2);
    const low = x0 < -1 + HALF_LEVEL ? -Infinity : s * (centred - HALF_LEVEL);
    const high = x0 > 1 - HALF_LEVEL ? Infinity : s * (centred + HALF_LEVEL);
    return -normalMass(low, high);
  };
}

function reference(inputs: Inputs, options: HybridLossOptions, importances: boolean): Record<string, Tensor64> {
  const { output, xt, target, weight, coefficients, importance, still } = inputs;
  const N = target.shape[0] as number;
  const C = target.shape.at(-1) as number;
  const E = target.data.length / N;
  const squares = new Float64Array(N);
  const bounds = new Float64Array(N);
  const meanOf = options.throughMean ? output : still;
  for (let i = 0; i < target.data.length; i++) {
    const n = Math.floor(i / E);
    const j = 2 * i - (i % C);
    const row = Array.from(coefficients.data.subarray(6 * n, 6 * n + 6));
    squares[n] = (squares[n] as number) + (at(target, i) - at(output, j)) ** 2 / E;
    const term = nats(row, at(target, i) - at(meanOf, j), at(output, j + C))(at(xt, i), at(target, i));
    bounds[n] = (bounds[n] as number) + (options.boundScale * term) / E;
  }
  const perSample = tensor64(
    [N],
    (n) => options.simpleWeight * at(weight, n) * (squares[n] as number) + options.boundWeight * (bounds[n] as number),
  );
  const mean = (values: Float64Array): Tensor64 => {
    const sum = values.reduce((total, value, n) => total + (importances ? at(importance, n) : 1) * value, 0);
    return tensor64([1], () => sum / N);
  };
  return { loss: mean(perSample.data), perSample, bound: mean(bounds) };
}

/** Values of the clean data: the lowest and the highest byte, and others. */
const bytes = [0, 255, 7, 128, 254, 1];

function caseOf(what: string, shape: readonly number[], kind: string, objective: string): OpCase {
  const N = shape[0] as number;
  const C = shape.at(-1) as number;
  const E = shape.reduce((product, size) => product * size, 1) / N;
  const levels = kinds[kind] as readonly Level[];
  const levelOf = (n: number): Level => levels[n % levels.length] as Level;
  const importances = N > 1;
  const xt = (i: number): number => Math.sin(3 * i);
  // Where the data are bytes, the target is what makes x0 one of them.
  const target = (i: number): number => {
    const [, , , , x0FromX = 0, x0FromPrediction = 0] = levelOf(Math.floor(i / E));
    if (x0FromPrediction === 0) return Math.cos(5 * i);
    return ((bytes[i % bytes.length] as number) / 127.5 - 1 - x0FromX * xt(i)) / x0FromPrediction;
  };
  const said = (j: number): number => 1.3 * Math.sin(7 * j + 1);
  const options = objectives[objective] as HybridLossOptions;
  return typedCase({
    name: `hybridLoss, ${objective}, ${kind}, ${what}`,
    inputs: {
      output: { shape: [...shape.slice(0, -1), 2 * C], values: said },
      still: { shape: [...shape.slice(0, -1), 2 * C], values: said },
      xt: { shape, values: xt },
      target: { shape, values: target },
      weight: { shape: [N], values: (n) => 0.2 + n },
      coefficients: { shape: [N, 6], values: (i) => levelOf(Math.floor(i / 6))[i % 6] as number },
      importance: { shape: [N], values: (n) => 1.5 - n / N },
    },
    build: ({ output, xt, target, weight, coefficients, importance }) => ({
      ...hybridLoss(
        { output, xt, target, weight, coefficients, importance: importances ? importance : undefined },
        options,
      ),
    }),
    reference: (inputs) => reference(inputs, options, importances),
    gradients: ['output'],
    differentiable: ['loss'],
  });
}

/** Op cases of `hybridLoss`. */
export const hybridLossCases: readonly OpCase[] = [
  ...activationShapes.flatMap(([what, shape]) =>
    Object.keys(kinds)
      // The reference of a last step is slow, and how elements are shared out does not depend on the level.
      .filter((kind) => kind === 'steps' || elementCount(shape) < 5000)
      .flatMap((kind) => Object.keys(objectives).map((name) => caseOf(what, shape, kind, name))),
  ),
  caseOf('points', [5, 2], 'real numbers', 'hybrid'),
];
