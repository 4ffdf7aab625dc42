import { gaussianDiffusion, linearSchedule, type SchedulerDescription } from '@diffuse/core';
import { expect, test } from 'vitest';
import { samplerFrom } from '../src/settings/sampler-settings.ts';

const scheduler: SchedulerDescription = {
  sampler: 'ddim',
  schedule: { name: 'linear', steps: 1000, parameters: {} },
  predict: 'eps',
  variance: 'fixed-small',
  clip: 1,
  spacing: 'leading',
  stepsOffset: 1,
  setAlphaToOne: false,
};
const diffusion = gaussianDiffusion({ schedule: linearSchedule() });

test("--compat diffusers takes the model's own spacing, offset and end, unless flags say otherwise", () => {
  const plan = (flags: Parameters<typeof samplerFrom>[0]) =>
    samplerFrom({ steps: 10, ...flags }, scheduler).plan(diffusion);
  const quirky = plan({ compat: 'diffusers' });
  expect(quirky[0]).toMatchObject({ t: 901, clip: 1 });
  expect(quirky.at(-1)).toMatchObject({ t: 1, alphaBarNext: diffusion.alphaBarAt(0) });
  expect(plan({}).map(({ t }) => t)).toEqual([999, 899, 799, 699, 599, 499, 399, 299, 199, 99]);
  expect(plan({ compat: 'strict' }).at(-1)?.alphaBarNext).toBe(1);
  expect(plan({ compat: 'diffusers', spacing: 'trailing' })[0]?.t).toBe(999);
  expect(plan({ compat: 'diffusers', sampler: 'euler' })[0]).toMatchObject({ t: 901, clip: Infinity });
  expect(plan({ compat: 'diffusers', sampler: 'dpm++2m', clip: 2 })[0]).toMatchObject({ t: 901, clip: 2 });
});

test('a model with dynamic thresholding samples with it', () => {
  const clip = { quantile: 0.995, max: 2 };
  expect(samplerFrom({ steps: 4 }, { ...scheduler, clip }).plan(diffusion)[0]?.clip).toEqual(clip);
});
