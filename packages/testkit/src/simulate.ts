import type { Clip, Diffusion, Sampler, SamplerStep } from '@diffuse/core';

/** What a network, or an exact stand-in for one, predicts from noisy data x_t [n] at a 0-based timestep: float64 [n]. */
export type Denoiser = (xt: Float64Array, t: number) => Float64Array;

/** The arrays that one sampler update reads, all float64 [n]. */
export interface UpdateInputs {
  /** The noisy sample. */
  readonly x: Float64Array;
  /** What the network made of it. */
  readonly prediction: Float64Array;
  /** What the step before left as history, zeros in the first step. */
  readonly history: Float64Array;
  /** What the step before found as history, zeros in the first step. */
  readonly older: Float64Array;
  /** Fresh noise, N(0, I). */
  readonly noise: Float64Array;
}

/** One sampler update of one sample in float64: the reference of the native kernels of a step. */
export function samplerUpdate(
  step: SamplerStep,
  { x, prediction, history, older, noise }: UpdateInputs,
): { x0: Float64Array; x: Float64Array; history: Float64Array } {
  const at = (values: Float64Array, i: number): number => values[i] as number;
  const raw = x.map((value, i) => step.x0FromX * value + step.x0FromPrediction * at(prediction, i));
  const [bound, scale] = boundsOf(raw, step.clip);
  const x0 = raw.map((value) => Math.min(Math.max(value, -bound), bound) / scale);
  const next = x.map(
    (value, i) =>
      step.x * value +
      step.x0 * at(x0, i) +
      step.prediction * at(prediction, i) +
      step.history * at(history, i) +
      step.older * at(older, i) +
      step.noise * at(noise, i),
  );
  const memory = x.map((value, i) => step.historyFromX * value + step.historyFromX0 * at(x0, i));
  return { x0, x: next, history: memory };
}

/** Where an estimate of one sample is cut off, and what it is divided by then. */
function boundsOf(raw: Float64Array, clip: Clip): [bound: number, scale: number] {
  if (typeof clip === 'number') return [clip, 1];
  const sorted = raw.map(Math.abs).sort();
  const position = clip.quantile * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(position)] as number, sorted[Math.ceil(position)] as number];
  const quantile = below + (position - Math.floor(position)) * (above - below);
  const bound = Math.min(Math.max(quantile, 1), clip.max ?? Number.POSITIVE_INFINITY);
  return [bound, bound];
}

/** One step of a simulated trajectory. */
export interface SimulatedStep {
  /** 0-based timestep of the step's input. */
  readonly t: number;
  /** What the denoiser said, float64 [n]. */
  readonly prediction: Float64Array;
  /** The clipped estimate of x0, float64 [n]. */
  readonly x0: Float64Array;
  /** Where the step ends, float64 [n]. */
  readonly x: Float64Array;
}

/**
 * Runs a sampler in float64.
 *
 * @param xT float64 [n], the start.
 * @param noise the fresh noise of step 0, 1 …, float64 [n]; asked for only where the step adds noise.
 * @returns every step; the last one's `x` is the sample.
 */
export function simulate(
  sampler: Sampler,
  diffusion: Diffusion,
  denoiser: Denoiser,
  xT: Float64Array,
  noise: (step: number) => Float64Array,
): SimulatedStep[] {
  const zeros = new Float64Array(xT.length);
  const trajectory: SimulatedStep[] = [];
  let x = xT;
  let history: Float64Array = zeros;
  let older: Float64Array = zeros;
  for (const [i, step] of sampler.plan(diffusion).entries()) {
    const prediction = denoiser(x, step.t);
    const fresh = step.noise === 0 ? zeros : noise(i);
    const updated = samplerUpdate(step, { x, prediction, history, older, noise: fresh });
    trajectory.push({ t: step.t, prediction, x0: updated.x0, x: updated.x });
    x = updated.x;
    older = history;
    history = updated.history;
  }
  return trajectory;
}
