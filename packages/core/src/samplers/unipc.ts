import { type CompatOptions, diffusersGrid } from './compat.ts';
import { logStep, stepRatio } from './dpm-solver.ts';
import { checkSampling, planSteps, type Sampler, type Transition, type Update } from './sampler.ts';

/** Parameters of {@link unipc}. */
export type UniPcOptions = CompatOptions;

/** Factors of the current estimate D0 of x0, the one before it and the one before that. */
type Factors = readonly [now: number, history: number, older: number];

/**
 * UniPC-2 with B(h) = e^h - 1 (Zhao et al. 2023, algorithms 5 and 6, arXiv:2302.04867; diffusers' `UniPCMultistepScheduler`, `bh2`):
 * a predictor as DPM-Solver++(2M), and a corrector that moves x once the network has been asked at it and raises the order from 2 to 3.
 * A row asks the network at the predicted x, corrects x with what it says, and predicts the next: all three are linear in x and the
 * last three estimates, so the row is their composition.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function unipc({ steps, spacing = 'trailing', clip = 1, compat = 'strict' }: UniPcOptions): Sampler {
  checkSampling('unipc', { steps, clip, spacing });
  const levels = diffusersGrid(compat, { family: 'unipc', steps, spacing });
  return {
    name: 'unipc',
    steps,
    plan: (diffusion, range) => {
      // The transition that led to x, with the one before it: the corrector mends its prediction.
      let arrived: Transition | undefined;
      const update = (transition: Transition): Update => {
        const { from, to, last } = transition;
        const corrector = arrived ? correction(arrived) : ([0, 0, 0] as const);
        arrived = transition;
        // The last step goes straight to the estimate.
        const ratio = last ? 0 : stepRatio(transition);
        const x = to.deviation / from.deviation;
        const fresh = to.signal - from.signal * x;
        const [now, history, older] = corrector;
        return {
          x,
          x0: x * now + fresh * (1 + ratio / 2),
          history: x * history - (fresh * ratio) / 2,
          older: x * older,
        };
      };
      return planSteps(diffusion, { steps, spacing, clip, levels }, update, range);
    },
  };
}

/**
 * What is to be added to the x that a transition predicted: with h = ln(sigma / sigma'), B = signal' (1 - e^-h) and
 * D0 the estimate at its end, D1 at its start, D2 before it,
 *
 *     order 1:  B (D0 - D1) / 2
 *     order 2:  B (rho1 (D1 - D2) / r + rho2 (D0 - D1)) in place of the predictor's B (D1 - D2) / 2r,    r = hBefore / h
 *
 * where (1, 1; -r, 1) (rho1, rho2) = (b1, b2), b1 = phi / B, b2 = 2 (phi / -h - 1/2) / B, phi = (e^-h - 1) / -h - 1, B = e^-h - 1.
 */
function correction(transition: Transition): Factors {
  const { from, to } = transition;
  const step = -logStep(from, to);
  const scale = to.signal - (from.signal * to.deviation) / from.deviation;
  const ratio = stepRatio(transition);
  if (ratio === 0 || step === -Infinity) return [scale / 2, -scale / 2, 0];
  const growth = Math.expm1(step);
  const phi = growth / step - 1;
  const b1 = phi / growth;
  const b2 = (2 * (phi / step - 0.5)) / growth;
  // The step before lies at -1 / ratio of this one.
  const r = -1 / ratio;
  const rho2 = (b2 - r * b1) / (1 - r);
  const rho1 = b1 - rho2;
  // D1 - D2 has the factor rho1 / -r in the corrector, and ratio / 2 in the predictor.
  const slope = scale * (rho1 * ratio - ratio / 2);
  return [scale * rho2, slope - scale * rho2, -slope];
}
