import { DiffuseError } from '../native/errors.ts';
import { checkInteger } from '../schedules/checks.ts';
import type { SamplerStep } from './sampler.ts';

/** How inpainting goes back and forth. */
export interface ResampleOptions {
  /** How often each part of the way is taken, at least 1; 1 only goes down. */
  readonly resamples?: number;
  /** Steps of a part. */
  readonly jump?: number;
}

/**
 * The way of RePaint (Lugmayr et al. 2022, algorithm 1, arXiv:2201.09865): every `jump` steps down are followed by as much noise as
 * leads up again, and taken anew, `resamples` times in all, so that the new part comes to fit the given one. The noise upwards is part
 * of the last row downwards:
 *
 *     x'' = sqrt(alphaBar_up / alphaBar_down) x' + sqrt(1 - alphaBar_up / alphaBar_down) z
 *
 * @param plan rows without memory: history does not survive a jump.
 * @throws DiffuseError ERR_ARGUMENT for an option out of range, or for a sampler that remembers.
 */
export function repaintPlan(
  plan: readonly SamplerStep[],
  { resamples = 10, jump = 10 }: ResampleOptions = {},
): readonly SamplerStep[] {
  checkInteger('resamples', resamples, 1, 1000);
  checkInteger('jump', jump, 1, Number.MAX_SAFE_INTEGER);
  if (resamples === 1) return plan;
  if (plan.some(({ history, older }) => history !== 0 || older !== 0)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      'resampling goes back and forth, which a sampler that remembers earlier steps does not survive: take ddpm, ddim or euler-ancestral, or resamples 1',
    );
  }
  const rows: SamplerStep[] = [];
  for (let begin = 0; begin < plan.length; begin += jump) {
    const part = plan.slice(begin, begin + jump);
    const [first, last] = [part[0] as SamplerStep, part.at(-1) as SamplerStep];
    const back = [...part.slice(0, -1), renoised(last, first.alphaBar)];
    for (let i = 1; i < resamples; i++) rows.push(...back);
    rows.push(...part);
  }
  return rows;
}

/** A row that ends at the noisier level `alphaBar` instead, by fresh noise after its own. */
function renoised(row: SamplerStep, alphaBar: number): SamplerStep {
  const share = alphaBar / row.alphaBarNext;
  const factor = Math.sqrt(share);
  if (row.logVariance) {
    throw new DiffuseError('ERR_ARGUMENT', "resampling does not go with variance 'learned-range': take a fixed one");
  }
  return {
    ...row,
    alphaBarNext: alphaBar,
    x: factor * row.x,
    x0: factor * row.x0,
    prediction: factor * row.prediction,
    noise: Math.sqrt(share * row.noise ** 2 + 1 - share),
  };
}
