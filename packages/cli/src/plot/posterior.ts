import { type PosteriorCoefficients, posteriorCoefficients, type Schedule } from '@diffuse/core';
import { chartGrid } from '@diffuse/data';
import type { PlotFlags } from '../settings/plot-settings.ts';
import { counting, scheduleFrom, subtitleOf } from './schedules.ts';

/** q(x_{t-1} | x_t, x_0) of every step; the first of them leads to x_0 itself. */
export function posteriors({ alphaBar }: Schedule): PosteriorCoefficients[] {
  return Array.from(alphaBar, (level, t) => posteriorCoefficients(level, t === 0 ? 1 : (alphaBar[t - 1] as number)));
}

/** `plot posterior`: what the mean of the step back is made of, and how wide it is. */
export async function drawPosterior(flags: PlotFlags): Promise<string> {
  const schedule = await scheduleFrom(flags);
  const steps = posteriors(schedule);
  const along = counting(schedule.steps, 1);
  const curve = (label: string, of: (step: PosteriorCoefficients) => number, colour: number) => ({
    label,
    x: along,
    y: steps.map(of),
    colour,
  });
  const x = { label: 'step t, from 1', scale: 'log' } as const;
  const size = { width: 430, height: 330 };
  return chartGrid({
    title: 'The step back when the image is known',
    subtitle: `q(xₜ₋₁ | xₜ, x₀), ${subtitleOf([schedule])}`,
    charts: [
      {
        ...size,
        subtitle: 'factors in its mean',
        x,
        y: { domain: [0, 1] },
        series: [curve('of x₀', (step) => step.x0, 0), curve('of xₜ', (step) => step.xt, 1)],
      },
      {
        ...size,
        subtitle: 'its variance, and what samplers take for it',
        x,
        y: { scale: 'log' },
        series: [
          curve('beta (fixed-large)', (step) => step.beta, 2),
          curve('of the posterior (fixed-small)', (step) => step.variance, 3),
        ],
        names: 'key',
      },
    ],
  });
}
