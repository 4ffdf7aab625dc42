import { DiffuseError } from '../native/errors.ts';
import { cosineSchedule } from '../schedules/index.ts';

/** Where a token goes when it is lost: to the mask, or to any token, each as likely. */
export type DiscreteTransition = 'absorbing' | 'uniform';

/** What {@link discreteDiffusion} is made from. */
export interface DiscreteDiffusionOptions {
  /** Number of kinds of token, K, at least 2; tokens are 0 … K - 1. */
  readonly tokens: number;
  readonly transition: DiscreteTransition;
  /** Number of timesteps T. */
  readonly steps?: number;
  /**
   * Probability that a token has never been lost after each of the T steps, falling from below 1 to 0 or above. Default: for `absorbing`
   * 1 - (t + 1) / T, so that every step masks as many tokens (Austin et al. 2021, section 3.1, the schedule 1 / (T - t + 1)); for
   * `uniform` the alphaBar of the cosine schedule (Hoogeboom et al. 2021, arXiv:2102.05379, section 4).
   */
  readonly keep?: ArrayLike<number>;
}

/**
 * Diffusion of tokens: D3PM (Austin et al. 2021, arXiv:2107.03006) with the transitions that replace a token, with probability
 * beta_t, by one drawn from a fixed distribution m: Q_t = (1 - beta_t) I + beta_t 1 mᵀ. Products of such matrices are of the same
 * form, so the cumulative ones are exact: Q_1 … Q_t = keep_t I + (1 - keep_t) 1 mᵀ with keep_t = Π (1 - beta_s).
 *
 * Timesteps t are 0-based, as those of `Diffusion`: t = 0 is the first step away from the data. States are the K tokens and, for
 * `absorbing`, the mask, K. Every method throws DiffuseError ERR_ARGUMENT for a t, token or state out of range.
 */
export interface DiscreteDiffusion {
  readonly transition: DiscreteTransition;
  /** Number of kinds of token, K. */
  readonly tokens: number;
  /** Number of states: K, and the mask for `absorbing`. */
  readonly states: number;
  /** The state that stands for a lost token, or null. */
  readonly mask: number | null;
  /** Number of timesteps T. */
  readonly steps: number;
  /** keep_t, the probability that a token was never lost; float64 [T]. */
  readonly keep: Float64Array;
  /** beta_t, the probability that a token is lost in step t; float64 [T]. */
  readonly beta: Float64Array;
  /** m, where lost tokens go; float64 [states]. */
  readonly limit: Float64Array;
  /** q(x_t | x_{t-1}): row i is the distribution of x_t after state i; float64 [states, states]. */
  transitionMatrix(t: number): Float64Array;
  /** q(x_t | x_0): row i is the distribution of x_t after state i; float64 [states, states]. */
  cumulativeMatrix(t: number): Float64Array;
  /**
   * x_t of each token.
   *
   * @param x0 tokens.
   * @param uniforms two numbers in [0, 1) for each token: is it lost, and where does it go.
   */
  qSample(x0: ArrayLike<number>, t: number, uniforms: ArrayLike<number>): Int32Array;
  /**
   * q(x_{t-1} | x_t, x_0), float64 [states]; for t = 0 it is a point, x_0. Austin et al. 2021, eq. (3).
   *
   * @throws ERR_ARGUMENT also where x_t cannot come of x_0.
   */
  posterior(xt: number, x0: number, t: number): Float64Array;
  /**
   * p(x_{t-1} | x_t) = Σ q(x_{t-1} | x_t, x_0) p(x_0 | x_t), float64 [states]: the posterior, averaged over what the network thinks the
   * token was. It is the true reverse step if the network is right. (Austin et al. 2021, eq. (4), averages q(x_{t-1}, x_t | x_0)
   * instead, without dividing by q(x_t | x_0): for `absorbing` that is the same, for `uniform` it is not, and a network that is right
   * about x_0 would then not give the true reverse step.)
   *
   * @param probabilities p(x_0 | x_t), at least 0 with a sum of 1, [K].
   */
  reverse(xt: number, probabilities: ArrayLike<number>, t: number): Float64Array;
}

/** Makes a {@link DiscreteDiffusion}. @throws DiffuseError ERR_ARGUMENT naming the option that does not fit. */
export function discreteDiffusion({
  tokens,
  transition,
  steps = 100,
  keep: given,
}: DiscreteDiffusionOptions): DiscreteDiffusion {
  checkSizes(tokens, transition, steps);
  const keep = checkKeep(given ?? defaultKeep(transition, steps), steps);
  const before = (t: number): number => (t === 0 ? 1 : (keep[t - 1] as number));
  const beta = keep.map((value, t) => 1 - value / before(t));
  const mask = transition === 'absorbing' ? tokens : null;
  const states = mask === null ? tokens : tokens + 1;
  const limit = Float64Array.from({ length: states }, (_, state) =>
    mask === null ? 1 / tokens : Number(state === mask),
  );
  const at = (values: Float64Array, index: number): number => values[index] as number;
  const check = (what: string, value: number, count: number): number => {
    if (!Number.isInteger(value) || value < 0 || value >= count) {
      throw new DiffuseError('ERR_ARGUMENT', `${what} is ${value}; it must be an integer from 0 to ${count - 1}`);
    }
    return value;
  };
  /** stay I + (1 - stay) 1 mᵀ at row i, column j. */
  const entry = (stay: number, i: number, j: number): number => stay * Number(i === j) + (1 - stay) * at(limit, j);
  const matrix = (stay: number): Float64Array =>
    Float64Array.from({ length: states * states }, (_, k) => entry(stay, Math.floor(k / states), k % states));

  return {
    transition,
    tokens,
    states,
    mask,
    steps,
    keep,
    beta,
    limit,
    transitionMatrix: (t) => matrix(1 - at(beta, check('timestep t', t, steps))),
    cumulativeMatrix: (t) => matrix(at(keep, check('timestep t', t, steps))),
    qSample(x0, t, uniforms) {
      const stay = at(keep, check('timestep t', t, steps));
      if (uniforms.length !== 2 * x0.length) {
        throw new DiffuseError('ERR_SHAPE', `${x0.length} tokens need two numbers each; got ${uniforms.length}`);
      }
      return Int32Array.from(x0, (token, i) => {
        check('a token', token, tokens);
        if ((uniforms[2 * i] ?? 0) < stay) return token;
        return mask ?? Math.floor((uniforms[2 * i + 1] ?? 0) * tokens);
      });
    },
    posterior(xt, x0, t) {
      check('timestep t', t, steps);
      check('the state x_t', xt, states);
      check('the token x_0', x0, tokens);
      const evidence = entry(at(keep, t), x0, xt);
      if (evidence === 0) {
        throw new DiffuseError('ERR_ARGUMENT', `the state ${xt} cannot come of the token ${x0} by step ${t}`);
      }
      const stay = 1 - at(beta, t);
      return Float64Array.from(
        { length: states },
        (_, state) => (entry(stay, state, xt) * entry(before(t), x0, state)) / evidence,
      );
    },
    reverse(xt, probabilities, t) {
      check('timestep t', t, steps);
      check('the state x_t', xt, states);
      if (probabilities.length !== tokens) {
        throw new DiffuseError('ERR_SHAPE', `got ${probabilities.length} probabilities for ${tokens} tokens`);
      }
      return averagePosterior({ xt, probabilities, keep: at(keep, t), before: before(t), limit, tokens });
    },
  };
}

/** Σ over x_0 of `posterior`, weighted; in O(states) instead of their square, as the matrices have two different entries a column. */
function averagePosterior({
  xt,
  probabilities,
  keep,
  before,
  limit,
  tokens,
}: {
  readonly xt: number;
  readonly probabilities: ArrayLike<number>;
  readonly keep: number;
  /** keep of the step before. */
  readonly before: number;
  readonly limit: Float64Array;
  readonly tokens: number;
}): Float64Array {
  const stay = keep / before;
  const lost = (1 - keep) * (limit[xt] as number);
  // p(x_0 | x_t) / q(x_t | x_0). What cannot have led to x_t counts nothing; if that is all, x_t was never lost.
  const ratio = Float64Array.from({ length: tokens }, (_, x0) => {
    const evidence = x0 === xt ? keep + lost : lost;
    return evidence > 0 ? (probabilities[x0] ?? 0) / evidence : 0;
  });
  if (ratio.every((value) => value === 0) && xt < tokens) ratio[xt] = 1;
  const total = ratio.reduce((sum, value) => sum + value, 0);
  const result = limit.map((m, state) => {
    const forward = stay * Number(state === xt) + (1 - stay) * (limit[xt] as number);
    return forward * (before * (ratio[state] ?? 0) + (1 - before) * m * total);
  });
  const sum = result.reduce((all, value) => all + value, 0);
  return result.map((value) => value / sum);
}

function defaultKeep(transition: DiscreteTransition, steps: number): Float64Array {
  if (transition === 'uniform') return Float64Array.from(cosineSchedule({ steps }).alphaBar);
  return Float64Array.from({ length: steps }, (_, t) => (steps - 1 - t) / steps);
}

function checkSizes(tokens: number, transition: string, steps: number): void {
  if (!Number.isSafeInteger(tokens) || tokens < 2) {
    throw new DiffuseError('ERR_ARGUMENT', `tokens is ${tokens}; it must be an integer, at least 2`);
  }
  if (transition !== 'absorbing' && transition !== 'uniform') {
    throw new DiffuseError('ERR_ARGUMENT', `there is no transition '${transition}'; there are: absorbing, uniform`);
  }
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `steps is ${steps}; it must be a positive integer`);
  }
}

function checkKeep(keep: ArrayLike<number>, steps: number): Float64Array {
  if (keep.length !== steps) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `keep has ${keep.length} entries; it must have one for each of ${steps} steps`,
    );
  }
  const values = Float64Array.from(keep);
  const wrong = values.findIndex((value, t) => !(value >= 0 && value < (t === 0 ? 1 : (values[t - 1] as number))));
  if (wrong >= 0) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `keep[${wrong}] is ${values[wrong]}; keep must fall from below 1 and stay at least 0`,
    );
  }
  return values;
}
