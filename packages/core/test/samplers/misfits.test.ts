import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion, type TargetName } from '../../src/diffusion/index.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Model } from '../../src/models/model.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { ddim, ddimInversion, ddpm, dpmSolver, heun, type Sampler } from '../../src/samplers/index.ts';
import { type SampleOptions, sample } from '../../src/samplers/sample.ts';
import { createSchedule, linearSchedule } from '../../src/schedules/index.ts';
import { diffusionObjective } from '../../src/training/objectives/denoising.ts';
import { train } from '../../src/training/train.ts';

const shape = [8, 8, 1] as const;
const count = 2;
const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 20 }) });
const atNoise = (predict: TargetName) =>
  gaussianDiffusion({ schedule: createSchedule('linear', { steps: 20, zeroTerminalSnr: 1 }), predict });
/** Models by what they are told and say. Their types are wide, as those of models that were loaded: the types know no better. */
const models: Record<string, Model> = {};
let device: Device;

beforeAll(async () => {
  device = await openDevice('cpu', { threads: 1 });
  const small = { shape, channels: [8], layers: 1 };
  models.plain = new UNet2D(small);
  models.told = new UNet2D({ ...small, classes: 3 });
  models.dropping = new UNet2D({ ...small, classes: 3, nullClass: true });
  models.points = mlp({ shape: [2], width: 8 });
  for (const model of Object.values(models)) await initializeModel(model, device, { seed: 1 });
});
afterAll(() => device.dispose());

const images = new Float32Array(count * 64);
const labels = [0, 1];
const half = { images, strength: 0.5 };
const values = images.map(() => 1);

/** What does not fit, and what the one line says. The model is 'plain' and the sampler `ddim` unless another is named. */
const cases: readonly (readonly [what: string, model: string, options: Partial<SampleOptions>, message: RegExp])[] = [
  [
    'a learned variance of a model that predicts none',
    'plain',
    { sampler: ddpm({ variance: 'learned-range' }) },
    /^variance 'learned-range' needs a network that predicts its variance, with twice the channels; this one has none$/,
  ],
  [
    'a class for a model that is told none',
    'plain',
    { labels },
    /^labels were given, but the model is not told a class$/,
  ],
  ['no class for a model that is told one', 'told', {}, /^the model is told a class: give 2 labels, got none$/],
  ['too few classes', 'told', { labels: [0] }, /^the model is told a class: give 2 labels, got 1$/],
  ['a class that there is not', 'told', { labels: [0, 3] }, /^the label 3 is not a class; they are 0 to 2$/],
  ['half a class', 'told', { labels: [0, 0.5] }, /^the label 0\.5 is not a class; they are 0 to 2$/],
  ['another class than the null class', 'dropping', { labels: [0, 4] }, /^the label 4 .* are 0 to 2, and 3 for none$/],
  [
    'guidance of a model without classes',
    'plain',
    { guidance: 2 },
    /^guidance needs a model that was trained with dropped labels, to say what it draws without a class$/,
  ],
  [
    'guidance of a model without dropped labels',
    'told',
    { labels, guidance: { kind: 'class', weight: 2 } },
    /^guidance needs a model that was trained with dropped labels/,
  ],
  ['guidance without end', 'dropping', { labels, guidance: Infinity }, /^guidance is Infinity; it must be a finite/],
  [
    'pure noise of a network that predicts it',
    'plain',
    { diffusion: atNoise('eps') },
    /^'eps' does not determine 'x0'/,
  ],
  [
    'the same as a score',
    'plain',
    { diffusion: atNoise('score') },
    /^'score' does not .*: predict 'v' or 'x0', or take/,
  ],
  [
    'a strength above 1',
    'plain',
    { given: { images, strength: 1.01 } },
    /^strength must be a number from 0 to 1, got 1/,
  ],
  [
    'a strength below 0',
    'plain',
    { given: { images, strength: -0.1 } },
    /^strength must be a number from 0 to 1, got -/,
  ],
  [
    'a strength that is no number',
    'plain',
    { given: { images, strength: Number.NaN } },
    /^strength must be .*got NaN$/,
  ],
  [
    'a mask of another size',
    'plain',
    { given: { images }, mask: { values: new Float32Array(64) } },
    /^mask\.values has 64 elements; 2 x 8 x 8 x 1 is 128$/,
  ],
  [
    'images of another size',
    'plain',
    { given: { images: new Float32Array(9) } },
    /^given\.images has 9 elements; 2 x 8/,
  ],
  ['a start of another size', 'plain', { start: new Float32Array(9) }, /^start has 9 elements; 2 x 8 x 8 x 1 is 128$/],
  ['images for a model of points', 'points', { given: { images } }, /^given\.images has 128 elements; 2 x 2 is 4$/],
  [
    'a mask of other numbers',
    'plain',
    { given: { images }, mask: { values: values.map(() => 2) } },
    /^mask\.values has 2;/,
  ],
  ['a mask of nothing', 'plain', { mask: { values } }, /^a mask keeps part of given samples: give them$/],
  ['a mask and a strength', 'plain', { given: half, mask: { values } }, /^strength and mask do not go together$/],
  [
    'a mask with a sampler that remembers',
    'plain',
    { given: { images }, mask: { values }, sampler: dpmSolver({ steps: 5 }) },
    /^resampling goes back and forth, which a sampler that remembers earlier steps does not survive/,
  ],
  [
    'an inversion of nothing',
    'plain',
    { sampler: ddimInversion({ steps: 5 }) },
    /goes from samples to noise: give them$/,
  ],
  [
    'an inversion and a strength',
    'plain',
    { sampler: ddimInversion({ steps: 5 }), given: half },
    /^sampler 'ddim-inversion' takes neither mask nor strength$/,
  ],
  [
    'more steps than timesteps',
    'plain',
    { sampler: ddim({ steps: 21 }) },
    /^a sampler's steps must be .*1 to 20, got 21$/,
  ],
  [
    'the same of two evaluations',
    'plain',
    { sampler: heun({ steps: 21 }) },
    /^a sampler's steps must be .*20, got 21$/,
  ],
  [
    'timesteps beyond the last',
    'plain',
    { sampler: ddim({ steps: 2, spacing: [20, 3] }) },
    /^the list of timesteps has 20; timesteps are numbers from 0 to 19$/,
  ],
  ['no image', 'plain', { count: 0 }, /^count is 0; it must be a positive integer$/],
];

describe('what does not fit is one clear line before anything is computed', () => {
  test.each(cases)('%s', async (_, name, options, message) => {
    let done = 0;
    const sampler: Sampler = ddim({ steps: 5, spacing: 'trailing' });
    const model = models[name] as Model;
    const onStep = (): void => {
      done += 1;
    };
    const all: SampleOptions = { model, diffusion, device, sampler, count, onStep, ...options };
    const refusal = { name: 'DiffuseError', message: expect.stringMatching(message) };
    await expect(sample(all)).rejects.toMatchObject(refusal);
    await expect(sample.steps(all).next()).rejects.toMatchObject(refusal);
    expect(done).toBe(0);
  });

  test('nor is a network trained for what no sampler could begin at', () => {
    for (const predict of ['eps', 'score'] as TargetName[]) {
      expect(() => diffusionObjective(atNoise(predict))).toThrow(
        `'${predict}' does not determine 'x0' where alphaBar is 0`,
      );
    }
    for (const predict of ['x0', 'v', 'flow', 'mean'] as TargetName[]) diffusionObjective(atNoise(predict));
    expect(() => atNoise('edm')).toThrow("'edm' tells the network ln(sigma), which is infinite where alphaBar is 0");
    const data = { shape, length: 4, classNames: undefined, read: () => Promise.reject(new Error('was read')) };
    const options = { model: new UNet2D({ shape, channels: [8] }), data, device, steps: 1 };
    const start = (): unknown =>
      train({ ...options, diffusion: atNoise('eps') } as unknown as Parameters<typeof train>[0]);
    expect(start).toThrow("'eps' does not determine 'x0'");
  });
});
