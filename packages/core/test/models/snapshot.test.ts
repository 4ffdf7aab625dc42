import { afterAll, beforeAll, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import { lossByLevel } from '../../src/evaluation/loss-by-level.ts';
import { mlp } from '../../src/models/mlp.ts';
import { snapshot } from '../../src/models/snapshot.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel, type ModelWeights } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/index.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { bands, finish, readState, tinyModel, tinyTraining } from '../training/tiny.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
const sampler = ddim({ steps: 3 });

async function values({ parameters, table }: ModelWeights): Promise<Buffer> {
  return Buffer.from((await parameters.read(0, table.size)).buffer);
}

test('a snapshot is the average of the weights at the moment of the call', async () => {
  const model = tinyModel();
  const training = await tinyTraining(device, { model, steps: 6 });
  const taken: Promise<unknown>[] = [];
  const expected: Buffer[] = [];
  for await (const { step } of training) {
    if (step % 2 !== 0) continue;
    // Not awaited: the steps that follow must not reach it.
    taken.push(snapshot(model).then(async (frozen) => [frozen, await values(frozen.model.weights as ModelWeights)]));
    expected.push((await readState(training.state)).ema as Buffer);
  }
  expect(new Set(expected.map((bytes) => bytes.toString('hex'))).size).toBe(3);
  for (const [i, promise] of taken.entries()) {
    const [frozen, bytes] = (await promise) as [{ model: UNet2D; dispose(): void }, Buffer];
    expect(bytes.equals(expected[i] as Buffer)).toBe(true);
    expect(frozen.model).toBeInstanceOf(UNet2D);
    expect(frozen.model.weights?.ema).toBeUndefined();
    frozen.dispose();
  }
});

test('`ema: false` takes the weights as trained; either draws what the model would', async () => {
  const model = tinyModel();
  for await (const _ of await tinyTraining(device, { model, steps: 3 }));
  for (const ema of [true, false]) {
    using frozen = await snapshot(model, { ema });
    const common = { diffusion, device, sampler, count: 2, seed: 3 };
    const [copy, own] = [await sample({ ...common, model: frozen.model }), await sample({ ...common, model, ema })];
    expect(copy.images).toEqual(own.images);
    expect({ ...frozen.model }.weights).toBe(frozen.model.weights);
  }
});

test('judging a snapshot while training goes on changes no bit of the training, nor of the judgement', async () => {
  const alone = await finish(await tinyTraining(device, { steps: 12 }));
  const model = tinyModel();
  const training = await tinyTraining(device, { model, steps: 12 });
  const options = { diffusion, data: bands(), device, count: 32, timesteps: 4, batchSize: 16 };
  let during = 0;
  let judged = false;
  const judge = async () => {
    using frozen = await snapshot(model);
    const found = await lossByLevel({ ...options, model: frozen.model });
    judged = true;
    return found;
  };
  let judging: ReturnType<typeof judge> | undefined;
  let waited: Awaited<ReturnType<typeof judge>> | undefined;
  let bytes: Record<string, Buffer> = {};
  for await (const { step } of training) {
    if (step === 4) {
      waited = await lossByLevel({ ...options, model });
      judging = judge();
    } else if (judging && !judged) {
      during++;
    }
    if (step === 12) bytes = await readState(training.state);
  }
  expect(await judging).toEqual(waited);
  expect(during, 'steps taken while the snapshot was judged').toBeGreaterThanOrEqual(3);
  expect(Object.keys(bytes)).toEqual(Object.keys(alone.bytes));
  for (const [name, buffer] of Object.entries(bytes))
    expect(buffer.equals(alone.bytes[name] as Buffer), name).toBe(true);
});

test('models of closures, weights of their own, and memory that is given back', async () => {
  const model = mlp({ shape: [2], width: 8 });
  await expect(snapshot(model)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
  const weights = await initializeModel(model, device, { seed: 1 });
  const before = device.allocatedBytes;
  const frozen = await snapshot(model);
  expect(device.allocatedBytes).toBe(before + weights.parameters.byteLength);
  frozen.model.weights = undefined;
  expect(model.weights).toBe(weights);
  frozen.dispose();
  expect(device.allocatedBytes).toBe(before);
});

test('without memory there is no snapshot, and nothing is kept', async () => {
  using small = await openDevice('cpu', { threads: 1, memoryLimit: 1 << 20 });
  const model = tinyModel();
  const { parameters } = await initializeModel(model, small, { seed: 1 });
  const rest = small.allocate(small.availableBytes() - parameters.byteLength + 4);
  await expect(snapshot(model)).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' });
  rest.dispose();
});
