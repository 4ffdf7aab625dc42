import { expectTypeOf, test } from 'vitest';
import { type Diffusion, gaussianDiffusion, type TargetName, targets } from '../../src/diffusion/index.ts';
import type { Classifier } from '../../src/models/classifier.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Model } from '../../src/models/model.ts';
import { unet1d } from '../../src/models/unet1d.ts';
import { UNet2D, type UNet2DShape } from '../../src/models/unet2d.ts';
import type { UNet2DConfig } from '../../src/models/unet2d-config.ts';
import { videoUNet } from '../../src/models/video-unet.ts';
import type { Device } from '../../src/native/device.ts';
import { type ClassifierGuidance, type DdpmVariance, ddim, ddpm, type Sampler } from '../../src/samplers/index.ts';
import { sample } from '../../src/samplers/sample.ts';
import {
  createSchedule,
  linearSchedule,
  type PureNoiseSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
} from '../../src/schedules/index.ts';

// Checked by the compiler: `tsc -p tsconfig.test.json`. Little of it runs.

/** Something of a type, of which nothing else is known. */
const unknown = <T>(): T => undefined as T;

const shape = [8, 8, 1] as const;
const channels = [8];
const diffusion = unknown<Diffusion>();
const device = unknown<Device>();
const anyModel = unknown<Model>();
const config = unknown<UNet2DConfig>();
const shapeOptions = unknown<UNet2DShape>();
const count = unknown<number | null>();
const predict = unknown<TargetName>();
const variance = unknown<DdpmVariance>();
const anySampler = unknown<Sampler>();

const unconditional = (): UNet2D<null, false, false> => new UNet2D({ shape, channels });
const conditional = () => new UNet2D({ shape, channels, classes: 10 });
const dropping = () => new UNet2D({ shape, channels, classes: 10, nullClass: true });
const learned = () => new UNet2D({ shape, channels, learnedVariance: true });
const options = { diffusion, device, sampler: anySampler, count: 4 };
const labels = [0, 1, 2, 3];

test('a model remembers what it is told, as far as its options are known', () => {
  expectTypeOf(unconditional().classes).toEqualTypeOf<null>();
  expectTypeOf(unconditional().nullClass).toEqualTypeOf<null>();
  expectTypeOf(conditional).returns.toExtend<UNet2D<10, false, false>>();
  expectTypeOf(dropping).returns.toExtend<UNet2D<10, true, false>>();
  expectTypeOf(() => dropping().nullClass).returns.toEqualTypeOf<number>();
  expectTypeOf(() => learned().learnedVariance).returns.toEqualTypeOf<true>();
  expectTypeOf(() => mlp({ shape: [2], classes: 3 }).classes).returns.toEqualTypeOf<3>();
  expectTypeOf(() => unet1d({ shape: [8, 2] }).classes).returns.toEqualTypeOf<null>();
  expectTypeOf(() => videoUNet({ shape: [2, 8, 8, 1] }).nullClass).returns.toEqualTypeOf<null>();
  // What is not known before the program runs is wide.
  expectTypeOf(() => new UNet2D({ shape, channels, classes: count }).classes).returns.toEqualTypeOf<number | null>();
  expectTypeOf(() => new UNet2D(shapeOptions)).returns.toEqualTypeOf<UNet2D>();
  expectTypeOf(() => UNet2D.fromConfig(config)).returns.toEqualTypeOf<UNet2D>();
  expectTypeOf(unconditional).returns.toExtend<UNet2D>();
  expectTypeOf(dropping).returns.toExtend<UNet2D>();
  expectTypeOf(dropping).returns.toExtend<Model>();
});

test('a model still refuses options that it does not have', () => {
  // @ts-expect-error a misspelt option
  void (() => new UNet2D({ shape, channels, clases: 10 }));
  // @ts-expect-error a misspelt option
  void (() => mlp({ shape: [2], widht: 64 }));
});

test('labels go with a model that is told a class', () => {
  void (() => sample({ ...options, model: conditional(), labels }));
  void (() => sample({ ...options, model: anyModel, labels }));
  void (() => sample({ ...options, model: unconditional() }));
  // @ts-expect-error the model is told no class
  void (() => sample({ ...options, model: unconditional(), labels }));
  // @ts-expect-error the model is told no class
  void (() => sample.steps({ ...options, model: mlp({ shape: [2] }), labels }));
  // @ts-expect-error the model is told no class
  void (() => sample({ ...options, model: unconditional(), labels, guidance: undefined }));
});

test('labels lead a model that is told no class by a classifier, and by nothing else', () => {
  const network = unknown<Classifier>();
  const led = { kind: 'classifier', scale: 2, network, slope: unknown<ClassifierGuidance['slope']>() } as const;
  void (() => sample({ ...options, model: unconditional(), labels, guidance: led }));
  void (() => sample.steps({ ...options, model: mlp({ shape: [2] }), labels, guidance: led }));
  void (() => sample({ ...options, model: unconditional(), guidance: { ...led, labels } }));
  void (() => sample({ ...options, model: conditional(), labels, guidance: led }));
  void (() => sample({ ...options, model: anyModel, labels, guidance: led }));
  const autoguidance = { kind: 'autoguidance', weight: 2, model: anyModel } as const;
  // @ts-expect-error another model leads to no class
  void (() => sample({ ...options, model: unconditional(), labels, guidance: autoguidance }));
  // @ts-expect-error a misspelt option
  void (() => sample({ ...options, model: unconditional(), labels, guidance: { ...led, label: labels } }));
  // @ts-expect-error a misspelt option
  void (() => sample({ ...options, model: unconditional(), lables: labels, guidance: led }));
});

test('guidance by a number goes with a model that was trained with dropped labels', () => {
  void (() => sample({ ...options, model: dropping(), labels, guidance: 2 }));
  void (() => sample({ ...options, model: anyModel, labels, guidance: 2 }));
  void (() =>
    sample({ ...options, model: unconditional(), guidance: { kind: 'autoguidance', weight: 2, model: anyModel } }));
  // @ts-expect-error there is no null class
  void (() => sample({ ...options, model: conditional(), labels, guidance: 2 }));
  // @ts-expect-error there is no null class
  void (() => sample({ ...options, model: conditional(), labels, guidance: { kind: 'class', weight: 2 } }));
});

test('a learned variance goes with a model that predicts it', () => {
  expectTypeOf(ddpm().learnedVariance).toEqualTypeOf<false>();
  expectTypeOf(ddpm({ variance }).learnedVariance).toEqualTypeOf<boolean>();
  const asking = ddpm({ variance: 'learned-range' });
  void (() => sample({ ...options, model: learned(), sampler: asking }));
  void (() => sample({ ...options, model: anyModel, sampler: asking }));
  void (() => sample({ ...options, model: unconditional(), sampler: ddpm({ variance: 'fixed-large' }) }));
  void (() => sample({ ...options, model: unconditional(), sampler: ddpm({ variance }) }));
  void (() => sample({ ...options, model: learned(), sampler: ddim({ steps: 5 }) }));
  // @ts-expect-error the model has no channels for its variance
  void (() => sample({ ...options, model: unconditional(), sampler: asking }));
});

test('a schedule that ends at pure noise goes with a target that says something of the data there', () => {
  const atNoise = rescaleZeroTerminalSnr(linearSchedule());
  expectTypeOf(atNoise).toEqualTypeOf<PureNoiseSchedule>();
  expectTypeOf(atNoise).toExtend<Schedule>();
  gaussianDiffusion({ schedule: atNoise, predict: 'v' });
  gaussianDiffusion({ schedule: atNoise, predict: targets.x0 });
  gaussianDiffusion({ schedule: linearSchedule(), predict: 'eps' });
  gaussianDiffusion({ schedule: createSchedule('linear', { zeroTerminalSnr: 1 }) });
  void (() => gaussianDiffusion({ schedule: atNoise, predict }));
  // @ts-expect-error the noise says nothing of the data at the last timestep
  void (() => gaussianDiffusion({ schedule: atNoise, predict: 'eps' }));
  // @ts-expect-error eps is the default
  void (() => gaussianDiffusion({ schedule: atNoise }));
  // @ts-expect-error the noise but for a factor
  void (() => gaussianDiffusion({ schedule: atNoise, predict: 'score' }));
});
