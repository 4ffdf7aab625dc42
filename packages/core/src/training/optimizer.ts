import { DiffuseError } from '../native/errors.ts';

/** AdamW with decoupled weight decay. Loshchilov and Hutter 2019, arXiv:1711.05101. */
export interface AdamW {
  /** Step size at the peak of the learning-rate schedule. */
  readonly learningRate: number;
  /** Decay of the first moment, in [0, 1). */
  readonly beta1: number;
  /** Decay of the second moment, in [0, 1). */
  readonly beta2: number;
  /** Added to the square root of the second moment. */
  readonly epsilon: number;
  /** Share of each weight taken away a step, times the learning rate. */
  readonly weightDecay: number;
}

/** The optimizer of the diffusion literature: Adam at 2e-4 (Ho et al. 2020, appendix B) with a little weight decay. */
export function adamW({
  learningRate = 2e-4,
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-8,
  weightDecay = 0.01,
}: Partial<AdamW> = {}): AdamW {
  const check = (name: string, value: number, ok: boolean, range: string): void => {
    if (!ok) throw new DiffuseError('ERR_ARGUMENT', `${name} is ${value}; it must be ${range}`);
  };
  check('the learning rate', learningRate, learningRate > 0 && Number.isFinite(learningRate), 'above 0');
  check('beta1', beta1, beta1 >= 0 && beta1 < 1, 'in [0, 1)');
  check('beta2', beta2, beta2 >= 0 && beta2 < 1, 'in [0, 1)');
  check('epsilon', epsilon, epsilon > 0, 'above 0');
  check('the weight decay', weightDecay, weightDecay >= 0 && Number.isFinite(weightDecay), 'at least 0');
  return { learningRate, beta1, beta2, epsilon, weightDecay };
}

/**
 * The numbers of AdamW that change with the step.
 *
 * @param step steps done before this one, from 0.
 * @returns 1 - beta1^(step + 1) and 1 - beta2^(step + 1).
 */
export function biasCorrections(
  { beta1, beta2 }: AdamW,
  step: number,
): { biasCorrection1: number; biasCorrection2: number } {
  return { biasCorrection1: 1 - beta1 ** (step + 1), biasCorrection2: 1 - beta2 ** (step + 1) };
}
