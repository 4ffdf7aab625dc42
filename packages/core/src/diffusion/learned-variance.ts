import { BOUND_COLUMNS } from '../graph/ops/hybrid-loss.ts';
import { ESTIMATE_COLUMNS } from '../graph/ops/self-conditioning.ts';
import type { Diffusion } from './gaussian.ts';
import { posteriorCoefficients } from './posterior.ts';
import { targets } from './targets.ts';

/** Logarithms of the two variances between which a network chooses. */
export interface LogVarianceRange {
  /** That of the posterior, where v is -1. At t = 0, where it would be of variance 0, that of t = 1. */
  readonly low: number;
  /** That of the forward step, where v is 1. */
  readonly high: number;
}

/**
 * Between which variances of p(x_{t-1} | x_t) a learned one lies: its logarithm is low + (v + 1) / 2 (high - low)
 * (Nichol and Dhariwal 2021, eq. (15), arXiv:2102.09672).
 *
 * @param t 0 … T - 1, integer; 0 is the step to the data.
 */
export function logVarianceRange({ schedule, steps }: Diffusion, t: number): LogVarianceRange {
  const at = (step: number): { variance: number; beta: number } => posteriorAt(schedule.alphaBar, step);
  const high = Math.log(at(t).beta);
  if (t > 0) return { low: Math.log(at(t).variance), high };
  // The data have no posterior variance: as the code of DDPM and improved-diffusion, take that of the step before.
  return { low: steps > 1 ? Math.log(at(1).variance) : high, high };
}

/** How the last term of the bound is computed: a density of real numbers, or a probability of bytes. */
export type LastTerm = 'density' | 'bytes';

const kinds = { step: 0, density: 1, bytes: 2 } as const;

/**
 * What `hybridLoss` has to know of each timestep: float32 [T, 6], a row t holds
 * `precision, span, kind, logVariance, x0FromX, x0FromPrediction` as the op's header names them. The squared error of a prediction,
 * times the precision, is that of the mean of x_{t-1} in units of the posterior's variance; the span is high - low of
 * {@link logVarianceRange}; x0FromX and x0FromPrediction take what the network sees and says to x0.
 *
 * @throws DiffuseError ERR_ARGUMENT where the prediction says nothing of x0: 'eps' where alphaBar is 0.
 */
export function boundTable(diffusion: Diffusion, last: LastTerm): Float32Array {
  const table = new Float32Array(diffusion.steps * BOUND_COLUMNS);
  for (let t = 0; t < diffusion.steps; t++) {
    const { low, high } = logVarianceRange(diffusion, t);
    const [x0FromX, x0FromPrediction] = estimateFactors(diffusion, t);
    // At t = 0 the mean is the estimate of x0 itself.
    const mean = (t > 0 ? posteriorAt(diffusion.schedule.alphaBar, t).x0 : 1) * x0FromPrediction;
    const kind = t > 0 ? kinds.step : kinds[last];
    table.set([mean * mean * Math.exp(-low), high - low, kind, low, x0FromX, x0FromPrediction], t * BOUND_COLUMNS);
  }
  return table;
}

/**
 * How the estimate of x0 follows from what the network sees and says at each timestep: float32 [T, 2], a row t holds
 * `x0FromX, x0FromPrediction`.
 *
 * @throws DiffuseError ERR_ARGUMENT as {@link boundTable}.
 */
export function estimateTable(diffusion: Diffusion): Float32Array {
  const table = new Float32Array(diffusion.steps * ESTIMATE_COLUMNS);
  for (let t = 0; t < diffusion.steps; t++) table.set(estimateFactors(diffusion, t), t * ESTIMATE_COLUMNS);
  return table;
}

/** The network sees x_t times the input scale. */
function estimateFactors(diffusion: Diffusion, t: number): readonly [x0FromX: number, x0FromPrediction: number] {
  const { x, prediction } = diffusion.convertTo(targets.x0, t);
  return [x / diffusion.inputScale(t), prediction];
}

function posteriorAt(alphaBar: Diffusion['schedule']['alphaBar'], t: number): ReturnType<typeof posteriorCoefficients> {
  return posteriorCoefficients(alphaBar[t] as number, t > 0 ? (alphaBar[t - 1] as number) : 1);
}
