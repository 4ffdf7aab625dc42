import { describe, expect, test } from 'vitest';
import { createSampler, type SamplerName, type SamplerOptions, samplers } from '../../src/samplers/index.ts';
import { samplerConformance } from './sampler-conformance.ts';

/** Options of each sampler that are worth a run of their own. */
const variants: Record<SamplerName, Partial<SamplerOptions>[]> = {
  ddim: [{ eta: 0.5 }, { eta: 1 }],
  ddpm: [{ variance: 'fixed-large' }],
  euler: [],
  'euler-ancestral': [{ eta: 0.5 }],
  heun: [{ churn: 20 }],
  'dpm++2m': [],
  'dpm++2m-sde': [{ eta: 0.5 }, { eta: 0 }],
  unipc: [],
  momentum: [{ mu: 0.5, gam: 1 }, { gam: 1 }],
  'tutorial-deterministic': [],
  'tutorial-stochastic': [],
};

for (const [name, entry] of Object.entries(samplers)) {
  samplerConformance(name, entry, variants[name as SamplerName]);
}

describe('the registry of samplers', () => {
  test('makes samplers by name', () => {
    expect(createSampler('ddim', { steps: 10, eta: 0.5, spacing: 'quadratic' }).name).toBe('ddim');
    expect(createSampler('ddpm', { steps: 10, variance: 'fixed-large', clip: 2 }).steps).toBe(10);
  });

  test('refuses names and options that it does not know', () => {
    expect(() => createSampler('dpm', { steps: 10 })).toThrow("unknown sampler 'dpm'; known are: ddim, ddpm, euler,");
    expect(() => createSampler('ddpm', { steps: 10, eta: 0 })).toThrow(
      "sampler 'ddpm' has no option 'eta'; it has: steps, spacing, variance, clip",
    );
  });

  test('describes each in one line', () => {
    for (const { description } of Object.values(samplers)) expect(description).toMatch(/^.{10,100}$/);
  });
});
