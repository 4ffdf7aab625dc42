import type { Schedule } from '@diffuse/core';
import type { Annotation } from '@diffuse/data';
import type { PlotFlags } from '../settings/plot-settings.ts';
import { panels, schedulesFrom } from './schedules.ts';

/**
 * Which share of the noise that the network predicts a step of DDPM removes: beta_t / (1 - alphaBar_t). The step's mean is
 * (x_t - beta_t / sqrt(1 - alphaBar_t) eps) / sqrt(1 - beta_t) (Ho et al. 2020, eq. (11), arXiv:2006.11239), and all of the noise in x_t
 * is sqrt(1 - alphaBar_t) eps.
 *
 * @returns float64 [T], in (0, 1]; 1 at the last step of sampling, t = 0.
 */
export function removedShare({ alphaBar, beta }: Schedule): Float64Array {
  return beta.map((value, t) => value / (1 - (alphaBar[t] as number)));
}

/** The factor of the predicted noise in a step of DDPM, beta_t / sqrt(1 - alphaBar_t): float64 [T]. */
export function removedFactor({ alphaBar, beta }: Schedule): Float64Array {
  return beta.map((value, t) => value / Math.sqrt(1 - (alphaBar[t] as number)));
}

/** `plot removed`. The steps are counted from 1 as in the papers, which a log scale needs. */
export async function drawRemoved(flags: PlotFlags): Promise<string> {
  const schedules = await schedulesFrom(flags);
  const x = { label: 'step t, from 1; sampling goes from right to left', scale: 'log' } as const;
  const size = { width: 430, height: 330 };
  const remarks = (of: (schedule: Schedule) => Float64Array, steps: readonly number[]): readonly Annotation[] => {
    const [only, ...others] = schedules;
    return only && others.length === 0 ? valuesAt(of(only), steps) : [];
  };
  return panels(
    'How much of the predicted noise a step removes',
    schedules,
    [
      {
        ...size,
        subtitle: 'share of it: beta / (1 − alphaBar)',
        x,
        y: { scale: 'log', domain: roomAbove(schedules.map(removedShare)) },
        annotations: remarks(removedShare, [1, 10, 100]),
        of: removedShare,
      },
      {
        ...size,
        subtitle: 'its factor: beta / sqrt(1 − alphaBar)',
        x,
        y: { scale: 'log', domain: roomAbove(schedules.map(removedFactor)) },
        annotations: remarks(removedFactor, [1, 10]),
        of: removedFactor,
      },
    ],
    1,
  );
}

/** A domain around all values, with room for remarks above. */
function roomAbove(curves: readonly Float64Array[]): readonly [low: number, high: number] {
  const lowest = Math.min(...curves.map((curve) => curve.reduce((low, value) => Math.min(low, value), Infinity)));
  const highest = Math.max(...curves.map((curve) => curve.reduce((high, value) => Math.max(high, value), 0)));
  const margin = Math.max(1.02, (highest / lowest) ** 0.06);
  return [lowest / margin, highest * margin ** 2];
}

/** The values at some steps and at the last. */
function valuesAt(curve: Float64Array, steps: readonly number[]): readonly Annotation[] {
  return [...steps.filter((step) => step < curve.length / 3), curve.length].map((step) => {
    const value = curve[step - 1] as number;
    return { x: step, y: value, text: String(Number(value.toPrecision(3))) };
  });
}
