import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRun, loadTrainingState, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { type Device, openDevice, type Precision } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/ddim.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { bands, deterministic, finish, tinyTraining } from './tiny.ts';

/** As small as can be with images wide enough for bf16. */
const model = (): UNet2D =>
  new UNet2D({ shape: [8, 8, 1], channels: [16, 32], layers: 1, attention: [4], dropout: 0.1 });

const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'diffuse-precision-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const lossesOf = (log: readonly string[]): number[] => log.map((line) => JSON.parse(line).loss);

describe.each(['bf16', 'bf16-fast'] as const)('training in %s', (precision: Precision) => {
  const opened: Device[] = [];
  const open = async (threads: number): Promise<Device> => {
    const device = await openDevice('cpu', { threads, precision });
    opened.push(device);
    return device;
  };
  afterAll(() => {
    for (const device of opened) device.dispose();
  });

  test('learns as float32 does', async () => {
    using plain = await openDevice('cpu', { threads: 2 });
    const options = { model: model(), steps: 60, batchSize: 16 };
    const whole = await tinyTraining(plain, options);
    const half = await tinyTraining(await open(2), { ...options, model: model() });
    expect(half.peakBytes).toBeLessThan(whole.peakBytes);
    const [expected, found] = [lossesOf((await finish(whole)).log), lossesOf((await finish(half)).log)];
    const mean = (losses: readonly number[]): number => losses.reduce((a, b) => a + b, 0) / losses.length;
    // The same noise and the same timesteps: a few steps on, rounding shows in the third digit.
    expect(Math.abs(mean(found) / mean(expected) - 1)).toBeLessThan(0.02);
    expect(found).not.toEqual(expected);
  });

  test('gives the same bits with any number of threads, and when it is resumed', async () => {
    const [one, three] = [await open(1), await open(3)];
    const whole = await finish(await tinyTraining(one, { model: model() }));
    const directory = join(folder, precision);
    const data = bands();
    const begun = model();
    const first = await tinyTraining(three, { model: begun });
    const log: string[] = [];
    for await (const progress of first) {
      log.push(deterministic(progress));
      if (progress.step < 9) continue;
      await saveRun(directory, { model: begun, diffusion, state: first.state, fingerprint: data.fingerprint, seed: 7 });
      break;
    }
    const again = model();
    const { fingerprint } = data;
    const resume = await loadTrainingState(directory, { device: three, model: again, ema: true, fingerprint, seed: 7 });
    const rest = await finish(await tinyTraining(three, { model: again, resume }));
    expect([...log, ...rest.log]).toEqual(whole.log);
    for (const [name, bytes] of Object.entries(whole.bytes)) expect(rest.bytes[name]?.equals(bytes), name).toBe(true);
  });

  test('leaves a run of float32, from which any format samples; a sample does not depend on its batch', async () => {
    const draw = async (device: Device, batchSize: number): Promise<Float32Array> => {
      const run = await loadRun(join(folder, precision), { device, kind: 'unet2d' });
      const options = { ...run, device, sampler: ddim({ steps: 5 }), count: 3, seed: 1, batchSize };
      return (await sample(options)).images;
    };
    using plain = await openDevice('cpu', { threads: 1 });
    const [expected, found] = [await draw(plain, 3), await draw(await open(2), 3)];
    expect(await draw(await open(1), 1)).toEqual(found);
    const error = Math.hypot(...found.map((value, i) => value - (expected[i] as number))) / Math.hypot(...expected);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(0.05);
  });
});
