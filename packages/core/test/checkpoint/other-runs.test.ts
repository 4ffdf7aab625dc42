import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  loadRun,
  loadTrainingState,
  runKind,
  type SaveRunOptions,
  saveRun,
  saveTrainingState,
} from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { edm } from '../../src/diffusion/targets.ts';
import { type DiscreteTransition, discreteDiffusion } from '../../src/discrete/discrete-diffusion.ts';
import { sampleTokens } from '../../src/discrete/sample-tokens.ts';
import { tokenUNet } from '../../src/discrete/token-unet.ts';
import { decodeLatents, encodeImages } from '../../src/latent/latents.ts';
import { type Autoencoder, autoencoder } from '../../src/models/autoencoder.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Model } from '../../src/models/model.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/ddim.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { train } from '../../src/training/train.ts';
import { createTrainingState, type TrainingState } from '../../src/training/training-state.ts';
import { contentOf, expectDiffuseError, failureOf, scratchFolder, seededRandom } from './folders.ts';
import { fileOf, headerMutations } from './header-mutations.ts';
import { diffusion, pattern, type Subject, savedRun, seed, steps, subjects, trainTo } from './run-subjects.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

describe('a latent diffusion', () => {
  const images = pattern([8, 8, 1], 'f32');

  const anyCoder = async (): Promise<Autoencoder> => {
    const coder = autoencoder({ shape: [8, 8, 1], channels: [4, 8], latentChannels: 2 });
    const { parameters, ema, table } = await initializeModel(coder, device, { seed: 2, ema: true });
    await ema?.write(
      0,
      (await parameters.read(0, table.size)).map((value) => 0.9 * value),
    );
    return coder;
  };

  /** A U-Net for the latents of an autoencoder. */
  async function subjectOf(coder: Autoencoder): Promise<Subject> {
    const latents = await encodeImages(images, { model: coder, device });
    const { classNames: _, labels: __, ...data } = latents;
    const model = new UNet2D({ shape: data.shape, channels: [4, 8], layers: 1 });
    const parts = { model, diffusion, autoencoder: coder, scale: data.scale };
    return { ...subjects.unet2d(), kind: 'latent', data, parts, train: trainer(model, data) };
  }

  const trainer =
    (model: UNet2D, data: Subject['data']): Subject['train'] =>
    (on, length) =>
      train({ ...length, batchSize: 4, ema: 0.9, seed, device: on, data, model, diffusion });

  test('draws the same images from the files, and goes on with the same bytes', async () => {
    const folder = await scratchFolder();
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')];
    const coder = await anyCoder();
    const log = await trainTo(steps, await subjectOf(coder), { device, folder: whole });
    const begun = await trainTo(2, await subjectOf(coder), { device, folder: parts });

    expect(await runKind(parts)).toBe('latent');
    const loaded = await loadRun(parts, { device, kind: 'latent' });
    expect(loaded.scheduler.clip).toBe(Number.POSITIVE_INFINITY);
    const again = await subjectOf(loaded.autoencoder);
    expect(again.parts).toMatchObject({ scale: loaded.scale });
    const { fingerprint } = again.data;
    const resume = await loadTrainingState(parts, { device, model: again.parts.model, ema: true, fingerprint, seed });
    expect([...begun, ...(await trainTo(steps, again, { device, folder: parts, resume }))]).toEqual(log);
    const [expected, found] = [await contentOf(whole), await contentOf(parts)];
    expect([...found.keys()]).toEqual([...expected.keys()]);
    expect([...found.keys()]).toContain('vae/model.safetensors');
    for (const [name, bytes] of expected) expect(found.get(name)?.equals(bytes), name).toBe(true);

    const draw = async ({
      model,
      autoencoder: decoder,
      scale,
    }: {
      model: UNet2D;
      autoencoder: Autoencoder;
      scale: number;
    }) => {
      const sampler = ddim({ steps: 3, clip: Number.POSITIVE_INFINITY });
      const latents = await sample({ model, diffusion, device, sampler, count: 2, seed: 1 });
      return decodeLatents(latents.images, scale, { model: decoder, device });
    };
    const { model } = again.parts;
    const { autoencoder: decoder, model: unet, scale } = await loadRun(parts, { device, kind: 'latent' });
    expect(await draw({ model: unet, autoencoder: decoder, scale })).toEqual(
      await draw({ model: model as UNet2D, autoencoder: coder, scale }),
    );
  });

  test('is refused where its halves do not fit, each by the file', async () => {
    const folder = join(await scratchFolder(), 'run');
    await trainTo(1, await subjectOf(await anyCoder()), { device, folder });
    const load = () => loadRun(folder, { device, kind: 'latent' });
    const message =
      /holds a latent diffusion of images, of kind 'latent'; expected a U-Net for images, of kind 'unet2d'/;
    expectDiffuseError(await failureOf(() => loadRun(folder, { device })), 'ERR_CHECKPOINT', message);
    const path = join(folder, 'vae/config.json');
    const text = await readFile(path, 'utf8');
    const changes: [Record<string, unknown>, string][] = [
      [{ scaling_factor: 0 }, 'scaling_factor is 0; expected a number above 0'],
      [{ scaling_factor: undefined }, 'scaling_factor is missing; expected a number above 0'],
      [{ latent_channels: 3 }, 'makes latents of [4, 4, 3]; the U-Net beside it draws [4, 4, 2]'],
      [{ _class_name: 'AutoencoderKL' }, '_class_name is \'AutoencoderKL\'; expected "DiffuseAutoencoder"'],
      [{ channels: [4] }, 'makes latents of [8, 8, 2]'],
    ];
    for (const [change, problem] of changes) {
      await writeFile(path, JSON.stringify({ ...JSON.parse(text), ...change }));
      expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', `${path}: ${problem}`);
    }
    await writeFile(path, text);
    await writeFile(join(folder, 'vae/model.safetensors'), fileOf('{}', 0));
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', /vae\/model\.safetensors: lacks encoder\.conv_in/);
    await rm(join(folder, 'vae/model.safetensors'));
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', /vae has no weights; expected model\.safetensors/);
    await rm(join(folder, 'vae'), { recursive: true });
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', `cannot open ${path}: no such file`);
  });
});

describe('a model of tokens', () => {
  test.each<DiscreteTransition>(['absorbing', 'uniform'])(
    'with %s noise draws the same from the files',
    async (transition) => {
      const folder = join(await scratchFolder(), 'run');
      const process = discreteDiffusion({ tokens: 5, transition, steps: 7 });
      const model = tokenUNet({ length: 4, diffusion: process, channels: [4] });
      const state = createTrainingState(model, device, { seed, ema: false });
      await saveRun(folder, { model, diffusion: process, state, fingerprint: 'none', seed });
      const run = await loadRun(folder, { device, kind: 'token-unet' });
      expect(run.diffusion).toMatchObject({
        tokens: 5,
        transition,
        steps: 7,
        keep: process.keep,
        states: process.states,
      });
      const draw = (parts: Pick<typeof run, 'model' | 'diffusion'>): Promise<Int32Array> =>
        sampleTokens({ ...parts, device, count: 3, seed: 4 });
      expect(await draw(run)).toEqual(await draw({ model, diffusion: process }));
    },
  );

  test.each<[Record<string, unknown>, string]>([
    [{ tokens: 6 }, 'makes 6 tokens; the model beside it has 5'],
    [{ transition: 'absorbing' }, 'makes 6 states; the model beside it has 5'],
    [{ transition: 'gaussian' }, 'transition is \'gaussian\'; expected "absorbing" or "uniform"'],
    [{ keep: [0.5, 0.7] }, 'keep has 2 entries; it must have one for each of 9 steps'],
    [{ keep: [0.5, 0.7], steps: 2 }, 'keep[1] is 0.7; keep must fall from below 1'],
    [
      { keep: [1], steps: 1 },
      'keep is [ 1 ]; expected a list of 1 to 1000000 entries, each a number from 0 to below 1',
    ],
    [{ _class_name: 'DDPMScheduler' }, '_class_name is \'DDPMScheduler\'; expected "DiffuseDiscreteDiffusion"'],
  ])('a process is refused: %j', async (change, problem) => {
    const folder = await savedRun(device, 'token-unet');
    const path = join(folder, 'scheduler/scheduler_config.json');
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...change }));
    const failure = await failureOf(() => loadRun(folder, { device, kind: 'token-unet' }));
    expectDiffuseError(failure, 'ERR_CHECKPOINT', `${path}: ${problem}`);
  });
});

test('the folder of a classifier as it was once written is read', async () => {
  const folder = await savedRun(device, 'classifier');
  const early = join(await scratchFolder(), 'early');
  await mkdir(early);
  for (const name of ['classes.json', 'state.safetensors']) await rename(join(folder, name), join(early, name));
  await cp(join(folder, 'model/config.json'), join(early, 'config.json'));
  await cp(join(folder, 'model/model.safetensors'), join(early, 'classifier.safetensors'));
  const weightsOf = async (directory: string, ema: boolean): Promise<Float32Array | undefined> => {
    const { model } = await loadRun(directory, { device, kind: 'classifier', ema });
    return model.weights?.parameters.read(0, model.weights.table.size);
  };
  expect(await runKind(early)).toBe('classifier');
  expect(await weightsOf(early, true)).toEqual(await weightsOf(folder, false));
  await cp(join(folder, 'model_ema/model.safetensors'), join(early, 'classifier_ema.safetensors'));
  expect(await weightsOf(early, true)).toEqual(await weightsOf(folder, true));
  expect(await weightsOf(early, false)).toEqual(await weightsOf(folder, false));
  expect((await loadRun(early, { device, kind: 'classifier' })).classNames).toEqual(['a', 'b', 'c']);
});

test('a state of another model is refused, and leaves no weights and no memory taken', async () => {
  const folder = await savedRun(device, 'mlp');
  const { fingerprint } = subjects.mlp().data;
  using own = await openDevice('cpu', { threads: 1 });
  const told = { classes: 3, nullClass: true } as const;
  const states = [
    {
      message: /holds \d+ tensors, this run needs \d+: .* or with an average of the weights$/,
      width: 8,
      ema: false,
    },
    { message: /has parameters\.\S+ as \[3, 8\], this model needs \[3, 16\]/, width: 16, ema: true },
  ];
  for (const { message, width, ema } of states) {
    const model = mlp({ shape: [3], width, layers: 2, ...told });
    const load = () => loadTrainingState(folder, { device: own, model, ema, fingerprint, seed });
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', folder, message);
    expect(model.weights).toBeUndefined();
    expect(own.allocatedBytes).toBe(0);
  }
});

test("the training of a model of one's own resumes with the same bytes", async () => {
  const folder = await scratchFolder();
  const own = (): Model => {
    const { kind: _, config: __, ...model } = mlp({ shape: [2], width: 4, layers: 1 });
    return model;
  };
  const data = pattern([2], 'f32');
  const { fingerprint } = data;
  const run = async (to: number, model: Model, resume?: TrainingState): Promise<Buffer> => {
    const training = train({ model, diffusion, data, device, steps, batchSize: 4, ema: 0.9, seed, resume });
    for await (const { step } of training) {
      if (step < to) continue;
      await saveTrainingState(folder, { state: training.state, fingerprint, seed });
      break;
    }
    return readFile(join(folder, 'state.safetensors'));
  };
  const whole = await run(steps, own());
  await run(2, own());
  const model = own();
  const resume = await loadTrainingState(folder, { device, model, ema: true, fingerprint, seed });
  expect((await run(steps, model, resume)).equals(whole)).toBe(true);
});

test('what a network can do that early files do not speak of, it does not do', async () => {
  const folder = await savedRun(device, 'mlp');
  const path = join(folder, 'model/config.json');
  const { learned_variance: _, self_conditioning: __, ...early } = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify(early));
  await rm(join(folder, 'model_ema'), { recursive: true });
  const { model } = await loadRun(folder, { device, kind: 'mlp' });
  expect(model.config).toMatchObject({ learnedVariance: false, selfConditioning: false });
});

test('weights with a damaged header load or are refused in one line, and take no memory then', async () => {
  const folder = await savedRun(device, 'unet1d');
  const path = join(folder, 'model_ema/model.safetensors');
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const undamaged = { json: bytes.toString('utf8', 8, 8 + length), dataBytes: bytes.length - 8 - length };
  const random = seededRandom(5);
  using own = await openDevice('cpu', { threads: 1 });
  let loads = 0;
  for (const [name, mutate] of Object.entries(headerMutations)) {
    for (let i = 0; i < 20; i++) {
      await writeFile(path, mutate(undamaged, random));
      const outcome = await loadRun(folder, { device: own, kind: 'unet1d' }).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expectDiffuseError(outcome, 'ERR_CHECKPOINT', path);
        expect(own.allocatedBytes, name).toBe(0);
      } else {
        loads++;
        (outcome as Awaited<ReturnType<typeof loadRun<'unet1d'>>>).model.weights?.parameters.dispose();
      }
    }
  }
  expect(loads).toBeLessThan(50); // white space, say, is no damage
});

describe('saveRun refuses what no folder could say, and then writes nothing', () => {
  const parts = () => {
    const model = mlp({ shape: [2], width: 4, layers: 1 });
    return { model, diffusion, state: createTrainingState(model, device, { seed, ema: false }), fingerprint: '', seed };
  };
  const tokens = discreteDiffusion({ tokens: 5, transition: 'absorbing' });
  const coder = autoencoder({ shape: [4, 4, 1], channels: [4] });

  test.each<[string, () => Record<string, unknown>]>([
    [
      'the model is of kind undefined; expected one of unet2d, mlp,',
      () => ({ model: { ...parts().model, kind: undefined } }),
    ],
    ['a network for points goes with a Gaussian diffusion; got no diffusion', () => ({ diffusion: undefined })],
    ['a network for points goes with a Gaussian diffusion; got a discrete diffusion', () => ({ diffusion: tokens })],
    ['an autoencoder of images goes with no diffusion; got a Gaussian diffusion', () => ({ model: coder })],
    [
      'the diffusion has 5 tokens and 6 states; the model was made for 5 and 5',
      () => ({ model: tokenUNet({ length: 4, diffusion: { tokens: 5, states: 5 } }), diffusion: tokens }),
    ],
    [
      'the state is that of another model: its parameters are not those of the model',
      () => ({ model: mlp({ shape: [2], width: 8, layers: 1 }) }),
    ],
    ['give autoencoder and scale together, or neither', () => ({ scale: 2 })],
    ['scale is 0; it must be above 0', () => ({ autoencoder: coder, scale: 0 })],
    [
      'latents of [4, 4, 4] are drawn by a U-Net of that shape; got a network for points of [2]',
      () => ({ autoencoder: coder, scale: 1 }),
    ],
    [
      'a run can be saved that predicts one of eps, x0,',
      () => ({ diffusion: gaussianDiffusion({ schedule: cosineSchedule(), predict: edm(1) }) }),
    ],
  ])('%s', async (message, change) => {
    const folder = join(await scratchFolder(), 'run');
    const options = { ...parts(), ...change() } as unknown as SaveRunOptions;
    expectDiffuseError(await failureOf(() => saveRun(folder, options)), 'ERR_ARGUMENT', message);
    expectDiffuseError(await failureOf(() => runKind(folder)), 'ERR_CHECKPOINT', 'no such file or directory');
  });

  test('an autoencoder without weights', async () => {
    const folder = join(await scratchFolder(), 'run');
    const model = new UNet2D({ shape: [4, 4, 4], channels: [4], layers: 1 });
    const state = createTrainingState(model, device, { seed, ema: false });
    const saved = saveRun(folder, { ...parts(), model, state, autoencoder: coder, scale: 1 });
    await expect(saved).rejects.toThrow('the model has no weights yet');
    expectDiffuseError(await failureOf(() => runKind(folder)), 'ERR_CHECKPOINT', 'no such file or directory');
  });
});
