import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadTrainingState, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice, type Precision } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/ddim.ts';
import { ddpm } from '../../src/samplers/ddpm.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { bands, deterministic, finish, tinyModel, tinyTraining } from '../training/tiny.ts';
import { describeOnGpu } from './gpus.ts';

const steps = 10;

/** Loss and gradient norm of each step of the tiny training. */
async function figures(device: Device, count = steps): Promise<number[]> {
  const list: number[] = [];
  for await (const { loss, gradientNorm } of await tinyTraining(device, { steps: count }))
    list.push(loss, gradientNorm);
  return list;
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

describeOnGpu('training and sampling', (name, others) => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'diffuse-cuda-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const onGpu = (precision: Precision = 'fp32', gpu = name): Promise<Device> =>
    openDevice(gpu, { precision, selfCheck: false });

  test('ten steps of AdamW have the losses and gradient norms of the CPU', async () => {
    using gpu = await onGpu();
    using cpu = await openDevice('cpu', { threads: 1 });
    const [actual, expected] = [await figures(gpu), await figures(cpu)];
    expect(expected).toHaveLength(2 * steps);
    actual.forEach((value, i) => {
      expect(Math.abs(value / (expected[i] as number) - 1), `figure ${i}`).toBeLessThan(1e-4);
    });
  });

  test('in bf16 the losses are those of the CPU in bf16, as far as bf16 goes', async () => {
    using gpu = await onGpu('bf16');
    using cpu = await openDevice('cpu', { threads: 1, precision: 'bf16' });
    const [actual, expected] = [await figures(gpu, 3), await figures(cpu, 3)];
    actual.forEach((value, i) => {
      expect(Math.abs(value / (expected[i] as number) - 1), `figure ${i}`).toBeLessThan(2e-2);
    });
  });

  test('resuming gives the same bits as not stopping, also on a GPU with another schedule', async () => {
    using gpu = await onGpu();
    const whole = await finish(await tinyTraining(gpu, { steps: 4 }));
    const log: string[] = [];
    const model = tinyModel();
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    const { fingerprint } = bands();
    const first = await tinyTraining(gpu, { model, steps: 4 });
    for await (const progress of first) {
      log.push(deterministic(progress));
      if (progress.step < 2) continue;
      await saveRun(folder, { model, diffusion, state: first.state, fingerprint, seed: 7 });
      break;
    }
    using other = await onGpu('fp32', others[0]);
    const again = tinyModel();
    const resume = await loadTrainingState(folder, { device: other, model: again, ema: true, fingerprint, seed: 7 });
    const rest = await finish(await tinyTraining(other, { model: again, resume, steps: 4 }));
    expect([...log, ...rest.log]).toEqual(whole.log);
    for (const [part, bytes] of Object.entries(whole.bytes)) expect(rest.bytes[part]?.equals(bytes), part).toBe(true);
  });

  test.each([
    ['ddim', ddim({ steps: 5 })],
    ['ddpm', ddpm({ steps: 5 })],
  ])('a trajectory of %s is that of the CPU, from the same noise', async (_, sampler) => {
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    const trajectory = async (device: Device): Promise<Float32Array[]> => {
      const model = tinyModel();
      await initializeModel(model, device, { seed: 1 });
      const list: Float32Array[] = [];
      for await (const { xt, next } of sample.steps({ model, diffusion, device, sampler, count: 2, seed: 3 })) {
        if (list.length === 0) list.push(Float32Array.from(xt));
        list.push(Float32Array.from(next));
      }
      return list;
    };
    using gpu = await onGpu();
    using cpu = await openDevice('cpu', { threads: 1 });
    const [actual, expected] = [await trajectory(gpu), await trajectory(cpu)];
    // x_T comes from Philox alone.
    expect(actual[0]).toEqual(expected[0]);
    expect(actual).toHaveLength(expected.length);
    expected.forEach((x, i) => {
      expect(difference(actual[i] as Float32Array, x), `step ${i}`).toBeLessThan(1e-4);
    });
  });
});
