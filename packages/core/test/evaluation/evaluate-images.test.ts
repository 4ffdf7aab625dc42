import { describe, expect, test } from 'vitest';
import {
  classifierFeatures,
  evaluateImages,
  type FeatureNetwork,
  frechetDistance,
  type ImageBatch,
  type ImageClassifier,
  type ImageEvaluationProgress,
  imageReference,
  inceptionScore,
  kernelDistance,
  precisionRecall,
} from '../../src/evaluation/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { randomNumbers } from './vectors.ts';

const shape = [2, 2, 1] as const;

/** Images of noise around a brightness. */
function noiseImages(seed: number, count: number, brightness: number): Uint8Array {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length: 4 * count }, () => brightness + 60 * random());
}

function dataset(bytes: Uint8Array): Dataset {
  return {
    shape,
    count: bytes.length / 4,
    fingerprint: 'test',
    async read(indices, target) {
      indices.forEach((index, i) => {
        target.set(bytes.subarray(4 * index, 4 * index + 4), 4 * i);
      });
    },
  };
}

const images = (data: Float32Array | Uint8Array): ImageBatch => ({ data, shape: [data.length / 4, ...shape] });

/** Sees the pixels in [-1, 1], and two classes by the first of them. */
function pixels(): FeatureNetwork & { readonly batches: number[] } {
  const batches: number[] = [];
  const session: ImageClassifier = {
    async classify(images) {
      const values = Float32Array.from(images, (byte) => byte / 127.5 - 1);
      const count = values.length / 4;
      batches.push(count);
      const logits = Float32Array.from(
        { length: 2 * count },
        (_, i) => (i % 2 ? 3 : -3) * (values[4 * (i >> 1)] as number),
      );
      return { logits, features: values };
    },
  };
  return { ...classifierFeatures({ name: 'pixels', model: { shape, classes: 2, featureSize: 4 }, session }), batches };
}

const features = (bytes: Uint8Array) =>
  ({ data: Float32Array.from(bytes, (byte) => byte / 127.5 - 1), shape: [bytes.length / 4, 4] }) as const;

const real = noiseImages(1, 90, 50);
const fake = noiseImages(2, 70, 80);

describe('evaluateImages', () => {
  test('gives the figures of the features, whatever the batches', async () => {
    const [a, b] = [features(real), features(fake)];
    const logistic = Float32Array.from({ length: 140 }, (_, i) => {
      const first = b.data[4 * (i >> 1)] as number;
      return 1 / (1 + Math.exp((i % 2 ? -6 : 6) * first));
    });
    const expected = {
      kernelDistance: await kernelDistance(a, b),
      precisionRecall: { ...(await precisionRecall(a, b)), neighbours: 3, realCount: 90, generatedCount: 70 },
    };
    const fid = await frechetDistance(a, b);
    const score = await inceptionScore({ data: logistic, shape: [70, 2] });
    for (const batchSize of [7, 64, 1000]) {
      const network = pixels();
      const result = await evaluateImages({ real: dataset(real), generated: images(fake), network, batchSize });
      expect(result).toMatchObject({
        network: 'pixels',
        dimensions: 4,
        realCount: 90,
        generatedCount: 70,
        warnings: [],
      });
      expect(result).toMatchObject(expected);
      expect(result.frechetDistance).toBeCloseTo(fid, 12);
      expect(result.inceptionScore?.mean).toBeCloseTo(score.mean, 5);
      expect(Math.max(...network.batches)).toBe(Math.min(batchSize, 90));
    }
  });

  test('generated floats are judged as the bytes that a file would hold', async () => {
    const floats = Float32Array.from(fake, (byte, i) => (byte + 0.9 * Math.sin(i) * 0.5) / 127.5 - 1);
    const options = { real: dataset(real), network: pixels() };
    const asBytes = await evaluateImages({ ...options, generated: images(fake) });
    expect(await evaluateImages({ ...options, generated: images(floats) })).toEqual(asBytes);
    const beyond = images(Float32Array.of(-7, 7, 0, 1, -1, -1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0));
    expect((await evaluateImages({ ...options, generated: beyond })).generatedCount).toBe(4);
  });

  test('images that are made one batch after the other', async () => {
    async function* made(): AsyncGenerator<ImageBatch> {
      for (let begin = 0; begin < fake.length; begin += 40) yield images(fake.subarray(begin, begin + 40));
    }
    const options = { real: dataset(real), network: pixels() };
    const whole = await evaluateImages({ ...options, generated: images(fake) });
    const { frechetDistance: fid, ...others } = await evaluateImages({ ...options, generated: made() });
    expect(others).toEqual((({ frechetDistance: _, ...rest }) => rest)(whole));
    expect(fid).toBeCloseTo(whole.frechetDistance as number, 12);
  });

  test('FID over thousands of images, without keeping their features', async () => {
    const [many, others] = [noiseImages(3, 5000, 40), noiseImages(4, 4500, 45)];
    const result = await evaluateImages({
      real: dataset(many),
      generated: dataset(others),
      network: pixels(),
      metrics: ['fid'],
    });
    expect(result.frechetDistance).toBeCloseTo(await frechetDistance(features(many), features(others)), 12);
    expect(Object.keys(result)).not.toContain('kernelDistance');
  });

  test('the data against itself: nothing between them', async () => {
    const result = await evaluateImages({ real: dataset(real), generated: dataset(real), network: pixels() });
    expect(result.frechetDistance).toBeLessThan(1e-13);
    expect(result.precisionRecall).toMatchObject({ precision: 1, recall: 1, coverage: 1 });
  });

  test('too few images are said', async () => {
    const few = dataset(real.subarray(0, 16));
    const { warnings } = await evaluateImages({ real: dataset(real), generated: few, network: pixels() });
    expect(warnings).toEqual([expect.stringMatching(/^FID of 4 vectors of 4 dimensions is far too high/)]);
  });

  test('tells how far it has come', async () => {
    const told: ImageEvaluationProgress[] = [];
    const options = {
      real: dataset(real),
      generated: images(fake),
      network: pixels(),
      metrics: ['fid', 'is'] as const,
    };
    await evaluateImages({ ...options, batchSize: 50, onProgress: (progress) => told.push(progress) });
    expect(told).toEqual([
      { phase: 'real', done: 50, total: 90 },
      { phase: 'real', done: 90, total: 90 },
      { phase: 'generated', done: 50, total: 70 },
      { phase: 'generated', done: 70, total: 70 },
      { phase: 'distances', done: 1, total: 2 },
      { phase: 'distances', done: 2, total: 2 },
    ]);
  });

  test('a network without classes has no Inception score', async () => {
    const { classes: _, ...network } = pixels();
    const options = { real: dataset(real), generated: images(fake), network };
    expect((await evaluateImages(options)).inceptionScore).toBeUndefined();
    await expect(evaluateImages({ ...options, metrics: ['is'] })).rejects.toThrow(/'pixels' gives features only/);
  });

  const lying = (change: Partial<FeatureNetwork>): FeatureNetwork => ({ ...pixels(), ...change });
  const anyShape: FeatureNetwork['features'] = (images, [count]) => pixels().features(images, [count, ...shape]);
  test.each([
    ['an unknown metric', { metrics: ['fd'] }, /there is no metric 'fd'; metrics: fid, kid, is, pr/],
    ['no batch', { batchSize: 0 }, /batchSize must be a whole number from 1/],
    ['too few images', { generated: dataset(real.subarray(0, 8)) }, /need at least 4 generated images; got 2/],
    ['no images at all', { generated: (async function* () {})() }, /there are no generated images/],
    [
      'images of another shape',
      { generated: { data: fake, shape: [70, 4, 1, 1] }, network: lying({ features: anyShape }) },
      /real images are \[2, 2, 1\], generated ones \[4, 1, 1\]/,
    ],
    [
      'images of a shape that the classifier does not know',
      { real: { data: real, shape: [90, 1, 4, 1] } },
      /'pixels' looks at images of 2 x 2 x 1; these are 1 x 4 x 1/,
    ],
    ['a NaN', { generated: images(new Float32Array(32).fill(Number.NaN, 9)) }, /image 2 holds NaN/],
    ['missing pixels', { generated: { data: fake, shape: [71, 2, 2, 1] } }, /has 284 values; got 280/],
    ['points', { real: { ...dataset(real), shape: [4] } }, /must hold images of bytes/],
    ['floats in a data set', { real: { ...dataset(real), dtype: 'f32' } }, /must hold images of bytes.*got f32/],
    ['a network of other dimensions', { network: lying({ dimensions: 3 }) }, /gave 256 values .* makes 192/],
    ['a network of other classes', { network: lying({ classes: 3 }) }, /gave 128 probabilities; .* make 192/],
    ['too many splits', { splits: 71 }, /of 71 splits needs at least 71/],
  ])('refuses %s', async (_, wrong, message) => {
    const options = { real: dataset(real), generated: images(fake), network: pixels(), ...(wrong as object) };
    await expect(evaluateImages(options)).rejects.toThrow(message);
  });

  test('ends when cancelled', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = ({ phase }: ImageEvaluationProgress) => phase === 'generated' && controller.abort();
    const options = { real: dataset(real), generated: dataset(real), network: pixels(), batchSize: 10, signal };
    await expect(evaluateImages({ ...options, onProgress })).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });
});

describe('imageReference', () => {
  test('gives the same figures, and the real images are looked at once', async () => {
    const network = pixels();
    const options = { network, generated: images(fake), batchSize: 32, seed: 3 };
    const direct = await evaluateImages({ ...options, real: dataset(real) });
    network.batches.length = 0;
    const reference = await imageReference({ network, real: dataset(real), batchSize: 32 });
    expect(network.batches).toEqual([32, 32, 26]);
    network.batches.length = 0;
    for (let time = 0; time < 2; time++) {
      expect(await evaluateImages({ ...options, real: reference })).toEqual(direct);
    }
    expect(network.batches).toEqual([32, 32, 6, 32, 32, 6]);
  });

  test('is refused with another network, and for what it was not made for', async () => {
    const network = pixels();
    const reference = await imageReference({ network, real: dataset(real), metrics: ['fid'] });
    const compare = (changes: object) =>
      evaluateImages({ network, real: reference, generated: images(fake), metrics: ['fid'], ...changes });
    expect((await compare({})).frechetDistance).toBeGreaterThan(0);
    await expect(compare({ network: pixels() })).rejects.toThrow(/the reference was made with the feature network/);
    await expect(compare({ metrics: ['fid', 'kid'] })).rejects.toThrow(/'kid' needs one made with it/);
    await expect(imageReference({ network, real: dataset(real), metrics: ['fdi' as 'fid'] })).rejects.toThrow(
      /there is no metric 'fdi'/,
    );
  });
});
