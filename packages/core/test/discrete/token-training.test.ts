import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DiscreteTransition, discreteDiffusion } from '../../src/discrete/discrete-diffusion.ts';
import { sampleTokens } from '../../src/discrete/sample-tokens.ts';
import { tokenObjective } from '../../src/discrete/token-objective.ts';
import { type TokenModel, tokenUNet } from '../../src/discrete/token-unet.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { train } from '../../src/training/train.ts';

const transitions: readonly DiscreteTransition[] = ['absorbing', 'uniform'];
const length = 4;
const tokens = 5;

/** Two words, the second three times as likely: 0123 and 4321. */
const words = [
  [0, 1, 2, 3],
  [4, 3, 2, 1],
  [4, 3, 2, 1],
  [4, 3, 2, 1],
] as const;

/** Nats a token: the least that the bound can be. */
const entropy = -(0.25 * Math.log(0.25) + 0.75 * Math.log(0.75)) / length;

function twoWords(dtype: 'i32' | 'f32' = 'i32'): Dataset {
  return {
    shape: [length],
    dtype,
    count: words.length,
    fingerprint: 'two words',
    async read(indices, target) {
      for (const [row, index] of indices.entries()) target.set(words[index] ?? [], row * length);
    },
  };
}

function tiny(transition: DiscreteTransition): { diffusion: ReturnType<typeof discreteDiffusion>; model: TokenModel } {
  const diffusion = discreteDiffusion({ tokens, transition, steps: 10 });
  return { diffusion, model: tokenUNet({ length, diffusion, channels: [16, 16], attention: true }) };
}

describe.each(transitions)('%s', (transition) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  test('the bound falls to the entropy of the data, and samples have its law', { timeout: 120_000 }, async () => {
    const { diffusion, model } = tiny(transition);
    const objective = tokenObjective(diffusion);
    const optimizer = adamW({ learningRate: 3e-3, weightDecay: 0 });
    const options = { model, objective, data: twoWords(), device, optimizer, learningRateShape: 'cosine' } as const;
    const bounds: number[] = [];
    const steps = 600;
    for await (const { outputs } of train({ ...options, steps, batchSize: 64, ema: 0.98, seed: 3 })) {
      bounds.push(outputs.bound as number);
    }
    const last = bounds.slice(-200).reduce((sum, bound) => sum + bound, 0) / 200;
    expect(bounds[0]).toBeGreaterThan(1);
    // The bound is no estimate of the likelihood from below: on average it cannot be less than the entropy.
    expect(last).toBeGreaterThan(0.9 * entropy);
    expect(last).toBeLessThan(1.5 * entropy);

    const count = 400;
    const samples = await sampleTokens({ model, diffusion, device, count, batchSize: 100, seed: 1 });
    const texts = Array.from({ length: count }, (_, i) => samples.subarray(i * length, (i + 1) * length).join(''));
    const share = (text: string): number => texts.filter((other) => other === text).length / count;
    expect(share('0123') + share('4321')).toBeGreaterThan(0.9);
    expect(share('0123')).toBeGreaterThan(0.15);
    expect(share('0123')).toBeLessThan(0.35);
  });

  test('a sample depends on its seed and index alone, not on the batch', async () => {
    const { diffusion, model } = tiny(transition);
    await initializeModel(model, device, { seed: 5 });
    const draw = (count: number, batchSize: number, seed: number): Promise<Int32Array> =>
      sampleTokens({ model, diffusion, device, count, batchSize, seed });
    const all = await draw(7, 7, 2);
    expect(all.every((token) => token >= 0 && token < tokens)).toBe(true);
    expect(await draw(7, 3, 2)).toEqual(all);
    expect(await draw(2, 64, 2)).toEqual(all.subarray(0, 2 * length));
    expect(await draw(7, 7, 3)).not.toEqual(all);
  });

  test('an aborted signal stops it', async () => {
    const { diffusion, model } = tiny(transition);
    await initializeModel(model, device, { seed: 5 });
    const signal = AbortSignal.abort();
    await expect(sampleTokens({ model, diffusion, device, count: 2, signal })).rejects.toMatchObject({
      code: 'ERR_CANCELLED',
    });
  });

  test('what does not fit is refused', async () => {
    const { diffusion, model } = tiny(transition);
    await expect(sampleTokens({ model, diffusion, device, count: 1 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    await expect(sampleTokens({ model, diffusion, device, count: 0 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    expect(() => tokenObjective(diffusion, { crossEntropyWeight: -1 })).toThrow('crossEntropyWeight');
    expect(() => tokenUNet({ length: 3, diffusion, channels: [4, 4] })).toThrow('the length is 3');
    const objective = tokenObjective(diffusion);
    expect(() => train({ model, objective, data: twoWords('f32'), device, steps: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_DTYPE' }),
    );
  });
});
