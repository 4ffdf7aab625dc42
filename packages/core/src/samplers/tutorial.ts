import { lookUp } from '../schedules/checks.ts';
import {
  checkSampling,
  type Level,
  type Sampler,
  type StepOptions,
  stepSampler,
  type Transition,
  type Update,
} from './sampler.ts';

/** Parameters of {@link tutorialStochastic}. */
export type TutorialOptions = StepOptions;

/** sigma'^2 / sigma^2, the tutorial's (t - dt) / t, since its sigma is sigmaQ sqrt(t); 0 from pure noise. */
function timeRatio(from: Level, to: Level): number {
  return ((to.deviation * from.signal) / (to.signal * from.deviation)) ** 2;
}

/**
 * The stochastic sampler of "Step-by-step diffusion" (Nakkiran et al. 2024, pseudocode 2, arXiv:2406.08929): the mean of the step
 * before, mu = (dt / t) E[x0 | x] + (1 - dt / t) x (claim 2), plus noise of variance sigmaQ^2 dt = sigma^2 - sigma'^2, in x / signal.
 * DDPM's large variance is alpha = alphaBar / alphaBar' times that. In the last step the tutorial adds noise too, which is left out here,
 * as DDPM does.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function tutorialStochastic({ steps, spacing = 'karras', clip = 1 }: TutorialOptions): Sampler {
  checkSampling('tutorial-stochastic', { steps, clip, spacing });
  const update = ({ from, to, last }: Transition): Update => {
    const ratio = timeRatio(from, to);
    const keep = (ratio * to.signal) / from.signal;
    // From pure noise the variance has no bound in this view; x' then is the estimate and noise of its own level.
    if (from.signal === 0) return { x0: to.signal, noise: to.deviation };
    const noise = last ? 0 : to.signal * Math.sqrt(from.sigma ** 2 - to.sigma ** 2);
    return { x: keep, x0: to.signal * (1 - ratio), noise };
  };
  return stepSampler('tutorial-stochastic', { steps, spacing, clip }, update);
}

/** How far a step goes towards mu, as a function of sigma and sigma'. */
export type Lambda = (sigma: number, sigmaNext: number) => number;

/** Name of a lambda. */
export type LambdaName = 'right' | 'wrong';

/**
 * The lambda of algorithm 2, and the sqrt((t - dt) / t) = sigma' / sigma that notes may give for it: samples collapse, since it is the
 * shrink factor of data that is one point.
 */
export const lambdas: Readonly<Record<LambdaName, Lambda>> = {
  right: (sigma, sigmaNext) => (sigma === Infinity ? 1 : sigma / (sigma + sigmaNext)),
  wrong: (sigma, sigmaNext) => sigmaNext / sigma,
};

/** Parameters of {@link tutorialDeterministic}. */
export interface TutorialDeterministicOptions extends TutorialOptions {
  /** One of {@link lambdas} by its name, or one's own, to see what it does. */
  lambda?: LambdaName | Lambda;
}

/**
 * The deterministic sampler of "Step-by-step diffusion" (Nakkiran et al. 2024, algorithm 2, arXiv:2406.08929), in x / signal:
 *
 *     x' = x + lambda (mu - x),   lambda = sigma / (sigma + sigma'),   mu as in {@link tutorialStochastic}
 *
 * It is Euler's step and DDIM's: lambda (1 - sigma'^2 / sigma^2) = 1 - sigma' / sigma.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function tutorialDeterministic({
  steps,
  spacing = 'karras',
  clip = 1,
  lambda = 'right',
}: TutorialDeterministicOptions): Sampler {
  const chosen = typeof lambda === 'function' ? lambda : lookUp('lambda', lambdas, lambda);
  checkSampling('tutorial-deterministic', { steps, clip, spacing });
  const update = ({ from, to }: Transition): Update => {
    const towards = chosen(from.sigma, to.sigma) * (1 - timeRatio(from, to));
    // From pure noise x / signal is infinite, and its noise shrinks from sigma to sigma'.
    if (from.signal === 0) return { x: to.deviation, x0: to.signal };
    return { x: ((1 - towards) * to.signal) / from.signal, x0: to.signal * towards };
  };
  return stepSampler('tutorial-deterministic', { steps, spacing, clip }, update);
}
