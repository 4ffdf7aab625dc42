import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dataPoints } from '../../src/evaluation/evaluation-data.ts';
import { type IdealDenoiser, idealDenoiser, idealLoss } from '../../src/evaluation/ideal-denoiser.ts';
import { gaussianLossFloor } from '../../src/evaluation/loss-by-level.ts';
import { moments, normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';
import { byteDataset, floatDataset } from './gaussian-model.ts';

const number = fc.double({ min: -2, max: 2, noNaN: true });
const sigmas = fc.double({ min: 0.05, max: 5, noNaN: true });

describe('the ideal denoiser', () => {
  test('of one point is that point', () => {
    const point = Float64Array.of(0.3, -0.7, 1.1);
    const denoiser = idealDenoiser({ points: point, dimensions: 3 });
    fc.assert(
      fc.property(fc.tuple(number, number, number), sigmas, (x, sigma) => {
        expectAllClose(denoiser.denoise(Float64Array.from(x), sigma), point, 1e-14);
      }),
    );
  });

  test('of two points is a hyperbolic tangent', () => {
    const denoiser = idealDenoiser({ points: Float32Array.of(-1, 1), dimensions: 1 });
    fc.assert(
      fc.property(number, sigmas, (x, sigma) => {
        expectClose(denoiser.denoise(Float64Array.of(x), sigma)[0], Math.tanh(x / sigma ** 2), 1e-12, 1);
      }),
    );
  });

  test('is the nearest point where there is hardly any noise, the mean where there is much', () => {
    const points = normals(1, 20);
    const denoiser = idealDenoiser({ points, dimensions: 2 });
    const near = Float64Array.from(points.subarray(6, 8), (value) => value + 1e-4);
    expectAllClose(denoiser.denoise(near, 1e-3), points.subarray(6, 8), 1e-14);
    const mean = [0, 1].map((j) => moments(points.filter((_, i) => i % 2 === j)).mean);
    expectAllClose(denoiser.denoise(near, 1e5), mean, 1e-8);
  });

  test('is the gradient of its log density', () => {
    const denoiser = idealDenoiser({ points: normals(2, 30), dimensions: 3 });
    fc.assert(
      fc.property(fc.tuple(number, number, number), fc.double({ min: 0.3, max: 3, noNaN: true }), (point, sigma) => {
        const x = Float64Array.from(point);
        const estimate = denoiser.denoise(x, sigma);
        for (let j = 0; j < 3; j++) {
          const moved = (by: number): number =>
            denoiser.logDensity(
              x.map((value, i) => value + (i === j ? by : 0)),
              sigma,
            );
          const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
          expectClose(slope, ((estimate[j] as number) - (x[j] as number)) / sigma ** 2, 1e-7, 1);
        }
      }),
    );
  });

  test('has a density that integrates to one', () => {
    const denoiser = idealDenoiser({ points: Float64Array.of(-0.5, 0.1, 2), dimensions: 1 });
    let mass = 0;
    for (let x = -8; x < 10; x += 0.01) mass += 0.01 * Math.exp(denoiser.logDensity(Float64Array.of(x), 0.6));
    expectClose(mass, 1, 1e-10);
  });

  test('refuses what cannot be', () => {
    expect(() => idealDenoiser({ points: new Float64Array(5), dimensions: 2 })).toThrow(
      '5 numbers are no points of 2 dimensions',
    );
    const denoiser = idealDenoiser({ points: new Float64Array(4), dimensions: 2 });
    expect(() => denoiser.denoise(new Float64Array(3), 1)).toThrow('the points have 2 dimensions, x has 3');
    expect(() => denoiser.denoise(new Float64Array(2), 0)).toThrow(
      'sigma of the ideal denoiser must be a number above 0',
    );
  });
});

describe('the loss of the ideal denoiser', () => {
  test('is that of the integral for two points', async () => {
    // E (x0 - tanh(x / s^2))^2 over x0 = ±1 and the noise; by symmetry x0 = 1 is enough.
    const exact = (sigma: number): number => {
      let sum = 0;
      for (let z = -8; z <= 8; z += 0.005) {
        const error = 1 - Math.tanh((1 + sigma * z) / sigma ** 2);
        sum += ((0.005 * Math.exp(-0.5 * z * z)) / Math.sqrt(2 * Math.PI)) * error * error;
      }
      return sum;
    };
    const levels = [0.5, 1, 3];
    const found = await idealLoss({ points: Float64Array.of(-1, 1), dimensions: 1, sigmas: levels, draws: 4000 });
    for (const [k, { sigma, x0, eps }] of found.entries()) {
      expect(sigma).toBe(levels[k]);
      expect(Math.abs(x0.mean - exact(sigma))).toBeLessThan(4 * x0.standardError);
      expectClose(eps.mean, x0.mean / sigma ** 2, 1e-12);
    }
  });

  test('of many points of a Gaussian is its floor at high noise, and below it at low noise', async () => {
    const points = normals(3, 4000).map((value) => 0.5 * value);
    const [low, high] = await idealLoss({ points, dimensions: 2, sigmas: [0.005, 2], draws: 400 });
    const floor = gaussianLossFloor([0.25], 2);
    expect(Math.abs((high?.eps.mean as number) - floor)).toBeLessThan(4 * (high?.eps.standardError as number) + 0.005);
    expect(low?.eps.mean as number).toBeLessThan(0.8 * gaussianLossFloor([0.25], 0.005));
  });

  test('takes the samples of a data set, bytes as networks see them', async () => {
    const bytes = byteDataset(Uint8Array.of(0, 255, 51, 102, 0, 255), [1, 2, 1]);
    const { points, dimensions } = await dataPoints(bytes);
    const rows = [0, 1, 2]
      .map((n) => [...points.subarray(2 * n, 2 * n + 2)])
      .sort((a, b) => (a[0] as number) - (b[0] as number));
    expect(dimensions).toBe(2);
    expect(rows).toEqual([
      [-1, 1],
      [-1, 1],
      [Math.fround(-0.6), Math.fround(-0.2)],
    ]);
    const floats = floatDataset(Float32Array.of(3, 4, 5), [1]);
    expect((await dataPoints(floats)).points.toSorted()).toEqual(Float32Array.of(3, 4, 5));
    expect((await dataPoints(floats, { count: 2, seed: 4 })).points).toHaveLength(2);
    await expect(dataPoints({ ...floats, dtype: 'i32' })).rejects.toThrow('these are int32');
    await expect(dataPoints(floats, { count: 4 })).rejects.toThrow(
      'count of points must be an integer from 1 to 3, got 4',
    );
  });

  test('leaves the event loop free and stops when told', async () => {
    const controller = new AbortController();
    const long = {
      points: normals(4, 200_000),
      dimensions: 100,
      sigmas: [1],
      draws: 10_000,
      signal: controller.signal,
    };
    setTimeout(() => controller.abort(), 20);
    await expect(idealLoss(long)).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });
});

describe('taking noise away step by step', () => {
  const dimensions = 8;
  const count = 200;
  const points = normals(5, 5 * dimensions).map(Math.sign);
  const denoiser = idealDenoiser({ points, dimensions });
  const sigmaMax = 3;
  const levels = Array.from({ length: 20 }, (_, i) => sigmaMax * (0.1 / sigmaMax) ** (i / 19));

  /** Energy of samples after DDIM's steps x' = x - (sigma - sigma') eps with the noise that `predict` sees. */
  function energies(predict: (x: Float64Array, sigma: number, stream: number) => Float64Array): Float64Array {
    return Float64Array.from({ length: count }, (_, n) => {
      const start = points.subarray((n % 5) * dimensions, ((n % 5) + 1) * dimensions);
      const noise = normals(6, dimensions, n);
      let x: Float64Array = Float64Array.from(start, (value, j) => value + sigmaMax * (noise[j] as number));
      for (let i = 0; i + 1 < levels.length; i++) {
        const [sigma, next] = [levels[i] as number, levels[i + 1] as number];
        const eps = predict(x, sigma, n * levels.length + i);
        x = x.map((value, j) => value - (sigma - next) * (eps[j] as number));
      }
      return energy(denoiser, x);
    });
  }
  // Of the data with the noise at which the steps end.
  const energy = (law: IdealDenoiser, x: Float64Array): number => -law.logDensity(x, 0.1);
  const mean = (values: Float64Array): number => moments(values).mean;
  const idle = energies((x) => new Float64Array(x.length));

  test('lowers the energy to that of data when the noise is estimated', () => {
    const found = energies((x, sigma) => {
      const x0 = denoiser.denoise(x, sigma);
      return x.map((value, j) => (value - (x0[j] as number)) / sigma);
    });
    const data = Float64Array.from({ length: count }, (_, n) => {
      const noise = normals(7, dimensions, n);
      return energy(
        denoiser,
        points.subarray(0, dimensions).map((value, j) => value + 0.1 * (noise[j] as number)),
      );
    });
    expect(mean(found)).toBeLessThan(mean(data) + 4 * Math.sqrt(moments(data).variance / count));
  });

  test('does not lower the energy when any random noise is taken for it', () => {
    const random = energies((x, _, stream) => normals(8, x.length, stream));
    const differences = random.map((value, n) => value - (idle[n] as number));
    const { mean: change, variance } = moments(differences);
    // It rises, clearly: what is subtracted is noise that was never added, so that its variance comes on top.
    expect(change).toBeGreaterThan(4 * Math.sqrt(variance / count));
  });
});
