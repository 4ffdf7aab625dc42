import { checkInteger, checkNumber } from '../schedules/checks.ts';
import { type CompatOptions, diffusersGrid } from './compat.ts';
import {
  checkSampling,
  cleanLevel,
  type Level,
  type Sampler,
  stepSampler,
  type Transition,
  type Update,
} from './sampler.ts';

/** Parameters of {@link dpmSolver}. */
export interface DpmSolverOptions extends CompatOptions {
  /** 1 or 2: whether a step looks at the estimate of the step before. */
  order?: number;
}

/** ln(sigma / sigma'), the length of a step in half the log-SNR; Infinity from pure noise and to clean data. */
export function logStep(from: Level, to: Level): number {
  return Math.log(from.sigma) - Math.log(to.sigma);
}

/**
 * How much further a step goes than the one before it: 1 / r of the papers, h / hBefore. 0 where the step before began at pure noise,
 * or there was none: then only one estimate counts.
 */
export function stepRatio({ before, from, to }: Transition): number {
  if (!before) return 0;
  const ratio = logStep(from, to) / logStep(before, from);
  return Number.isFinite(ratio) ? ratio : 0;
}

/** Whether a step that does not end at clean data, which `compat` may have, is taken with one estimate alone as if it did. */
function endsInOrderOne({ last }: Transition, steps: number): boolean {
  return last && steps < 15;
}

/**
 * DPM-Solver++ (Lu et al. 2022, algorithm 2, arXiv:2211.01095), multistep. With h = ln(sigma / sigma'), r = hBefore / h and D the
 * estimate of x0, in x / signal:
 *
 *     x' = (sigma' / sigma) x + (1 - e^-h) ((1 + 1 / 2r) D - (1 / 2r) DBefore)
 *
 * Order 1, the first step and the last have D alone: `ddim({ eta: 0 })`.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function dpmSolver({
  steps,
  order = 2,
  spacing = 'trailing',
  clip = 1,
  compat = 'strict',
}: DpmSolverOptions): Sampler {
  checkSampling('dpm++2m', { steps, clip, spacing });
  checkInteger("order of sampler 'dpm++2m'", order, 1, 2);
  const levels = diffusersGrid(compat, { family: 'dpm', steps, spacing });
  const update = (transition: Transition): Update => {
    const { from, to } = transition;
    const x = to.deviation / from.deviation;
    const fresh = to.signal - from.signal * x; // signal' (1 - e^-h)
    const extrapolation = order === 2 && !endsInOrderOne(transition, steps) ? (fresh * stepRatio(transition)) / 2 : 0;
    return { x, x0: fresh + extrapolation, history: -extrapolation };
  };
  return stepSampler('dpm++2m', { steps, spacing, clip, levels }, update);
}

/** Parameters of {@link dpmSolverSde}. */
export interface DpmSolverSdeOptions extends Omit<DpmSolverOptions, 'order'> {
  /** Share of the stochastic differential equation's noise, at least 0; 0 is the 'midpoint' form of {@link dpmSolver}. */
  eta?: number;
}

/**
 * DPM-Solver++(2M) of the stochastic differential equation, midpoint form (Lu et al. 2022, appendix; k-diffusion's
 * `sample_dpmpp_2m_sde`):
 *
 *     x' = (sigma' / sigma) e^(-eta h) x + (1 - e^(-h - eta h)) (D + (1 / 2r) (D - DBefore)) + sigma' sqrt(1 - e^(-2 eta h)) z
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function dpmSolverSde({
  steps,
  eta = 1,
  spacing = 'karras',
  clip = 1,
  compat = 'strict',
}: DpmSolverSdeOptions): Sampler {
  checkSampling('dpm++2m-sde', { steps, clip, spacing });
  checkNumber("eta of sampler 'dpm++2m-sde'", eta, 0, Number.MAX_VALUE);
  const levels = diffusersGrid(compat, { family: 'dpm', steps, spacing });
  const update = (transition: Transition): Update => {
    const { from, to } = transition;
    if (to === cleanLevel) return { x0: 1 };
    const ratio = to.sigma / from.sigma; // e^-h; 0 from pure noise
    const decay = ratio ** eta; // e^(-eta h)
    const fresh = to.signal * (1 - ratio * decay);
    const extrapolation = endsInOrderOne(transition, steps) ? 0 : (fresh * stepRatio(transition)) / 2;
    return {
      x: (to.deviation / from.deviation) * decay,
      x0: fresh + extrapolation,
      history: -extrapolation,
      noise: to.deviation * Math.sqrt(Math.max(0, 1 - decay * decay)),
    };
  };
  return stepSampler('dpm++2m-sde', { steps, spacing, clip, levels }, update);
}
