import { compile, type Device, Graph, openDevice, randomNormal, randomUniform } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../core/src/native/addon.ts';
import { sameBits } from '../src/index.ts';
import { referencePhilox } from '../src/op-cases/random-reference.ts';

const devices: Device[] = [];
beforeAll(async () => {
  for (const isa of loadAddon().isas) {
    for (const threads of [1, 2]) devices.push(await openDevice('cpu', { isa, threads }));
  }
});
afterAll(() => {
  for (const device of devices) device.dispose();
});

const zero = { seedLow: 0, seedHigh: 0, step: 0, purpose: 0, sampleOffset: 0 };

async function numbers(
  device: Device,
  emit: typeof randomNormal | typeof randomUniform,
  shape: readonly number[],
  stream: Partial<typeof zero> = {},
): Promise<Float32Array> {
  const graph = new Graph();
  using program = compile(graph, { device, outputs: { y: emit(graph, shape, { ...zero, ...stream }) } });
  return (await program.run()).y;
}

/** Error function to 1.2e-7: Numerical Recipes, erfc by Chebyshev fitting. */
function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + z / 2);
  const c = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
  ];
  const tail = (t * Math.exp(-z * z + c.reduceRight((sum, a) => sum * t + a, 0))) / 2;
  return x > 0 ? 1 - tail : tail;
}

/** Largest distance between the empirical distribution and `cdf`, times sqrt(n): above 1.95 with probability 0.1 %. */
function kolmogorovSmirnov(sample: Float32Array, cdf: (x: number) => number): number {
  const n = sample.length;
  const distance = sample.toSorted().reduce((worst, x, i) => {
    const p = cdf(x);
    return Math.max(worst, p - i / n, (i + 1) / n - p);
  }, 0);
  return distance * Math.sqrt(n);
}

describe('Philox', () => {
  // Known answers published with Random123 (kat_vectors, philox4x32 10).
  const ones = 0xffffffff;
  test.each([
    [
      [0, 0],
      [0, 0, 0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ones, ones],
      [ones, ones, ones, ones],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0xa4093822, 0x299f31d0],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('key %j, counter %j', (key, counter, expected) => {
    expect(referencePhilox(key, counter)).toEqual(expected);
  });

  test('the kernels give the known answer', async () => {
    const expected = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8].map((word) => (word >>> 8) / 2 ** 24);
    for (const device of devices) expect([...(await numbers(device, randomUniform, [1, 4]))]).toEqual(expected);
  });
});

describe('normal numbers', () => {
  const shape = [20, 100, 100];

  test('have the same bits on every instruction set and number of threads', async () => {
    const [first, ...others] = await Promise.all(devices.map((device) => numbers(device, randomNormal, shape)));
    for (const other of others) expect(sameBits(other, first)).toBe(true);
  });

  test('do not depend on how samples are divided into batches', async () => {
    const [device] = devices as [Device];
    const whole = await numbers(device, randomNormal, [7, 1001], { seedLow: 3, sampleOffset: 5 });
    const part = await numbers(device, randomNormal, [3, 1001], { seedLow: 3, sampleOffset: 9 });
    expect([...part]).toEqual([...whole.subarray(4 * 1001)]);
  });

  test('differ between seeds, steps, purposes and samples', async () => {
    const [device] = devices as [Device];
    const streams = [{}, { seedLow: 1 }, { seedHigh: 1 }, { step: 1 }, { purpose: 1 }, { sampleOffset: 1 }];
    const first = await Promise.all(
      streams.map(async (stream) => (await numbers(device, randomNormal, [1, 4], stream))[0]),
    );
    expect(new Set(first).size).toBe(streams.length);
  });

  test('are normally distributed', async () => {
    const [device] = devices as [Device];
    const sample = await numbers(device, randomNormal, shape, { seedLow: 12, purpose: 3 });
    const moment = (k: number): number => sample.reduce((sum, x) => sum + x ** k, 0) / sample.length;
    // Standard errors of the first four moments of n normal numbers; 4.5 of them happen once in 150 000 tests.
    const error = 4.5 / Math.sqrt(sample.length);
    expect(Math.abs(moment(1))).toBeLessThan(error);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(error * Math.sqrt(2));
    expect(Math.abs(moment(3))).toBeLessThan(error * Math.sqrt(15));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(error * Math.sqrt(96));
    expect(kolmogorovSmirnov(sample, normalCdf)).toBeLessThan(1.95);
  });

  test('are independent of their neighbours', async () => {
    const [device] = devices as [Device];
    const sample = await numbers(device, randomNormal, shape, { seedLow: 12, purpose: 3 });
    for (const lag of [1, 2, 3, 4, 100, 10_000]) {
      let products = 0;
      for (let i = lag; i < sample.length; i++) products += (sample[i] as number) * (sample[i - lag] as number);
      expect(Math.abs(products) / Math.sqrt(sample.length - lag)).toBeLessThan(4.5);
    }
  });
});

test('uniform numbers are uniformly distributed', async () => {
  const [device] = devices as [Device];
  const sample = await numbers(device, randomUniform, [20, 10_000], { seedLow: 4, purpose: 2 });
  expect(sample.every((x) => x >= 0 && x < 1)).toBe(true);
  expect(kolmogorovSmirnov(sample, (x) => x)).toBeLessThan(1.95);
});
