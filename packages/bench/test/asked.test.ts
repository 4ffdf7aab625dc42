import { expect, test } from 'vitest';
import { askedBounds, askedRatio, goal } from '../src/asked.ts';
import { benchConfigs } from '../src/configs.ts';
import { opExtent } from '../src/ours/op-extent.ts';
import { trainStepFlops } from '../src/ours/train-graph.ts';
import { peerPrecision, precisions } from '../src/precision.ts';

test('a bound that is met exactly holds', () => {
  expect(goal('ratio', 2.5, { atLeast: 2.5 })).toEqual({
    ...{ name: 'ratio', value: 2.5, better: 'higher', limit: 2.5, holds: true },
  });
  expect(goal('ratio', 2.49, { atLeast: 2.5 }).holds).toBe(false);
  expect(goal('ms', 300, askedBounds.firstSamplingStep)).toMatchObject({ better: 'lower', holds: true });
  expect(goal('ms', 301, askedBounds.firstSamplingStep).holds).toBe(false);
  expect(goal('ratio', Number.NaN, { atLeast: 1 }).holds).toBe(false);
});

test('what is asked depends on the number format and on the instruction set', () => {
  const fp32 = { precision: 'fp32', device: {} } as const;
  expect(askedRatio('train-step M', fp32)).toEqual({ atLeast: 2.5 });
  expect(askedRatio('train-step M', { ...fp32, precision: 'bf16' })).toEqual({ atLeast: 1.8 });
  expect(askedRatio('train-step M', { ...fp32, device: { isa: 'avx2' } })).toEqual({ atLeast: 2 });
  expect(askedRatio('train-step L', { ...fp32, device: { isa: 'avx2' } })).toBeUndefined();
  expect(askedRatio('forward M', { ...fp32, precision: 'bf16' })).toBeUndefined();
  expect(askedRatio('matmul', fp32)).toBeUndefined();
  const fast = { precision: 'bf16-fast', device: {} } as const;
  expect(['S', 'M', 'L'].map((name) => askedRatio(`train-step ${name}`, fast))).toEqual(
    [1.8, 2.2, 2.2].map((atLeast) => ({ atLeast })),
  );
  expect(askedBounds.memory['bf16-fast']).toEqual({ atMost: 0.4 });
});

test('the formats are those of the library; the peer has one bf16', () => {
  expect(precisions).toEqual(['fp32', 'bf16', 'bf16-fast']);
  expect(precisions.map(peerPrecision)).toEqual(['fp32', 'bf16', 'bf16']);
});

test('operations of a training step are those of the published networks', () => {
  // GFLOP an image.
  const expected: Record<string, number> = { S: 3.23, M: 13.6, L: 37.3 };
  for (const config of benchConfigs()) {
    const gflops = trainStepFlops({ ...config, batch: 1 }) / 1e9;
    expect(gflops / (expected[config.name] as number)).toBeCloseTo(1, 1);
  }
});

test('an op must do what its definition says', () => {
  const images = { batch: 2, height: 8, width: 8, channels: 16 };
  const flops = 2 * 9 * 2 * 64 * 16 * 32;
  expect(opExtent({ op: 'conv2d', part: 'data gradient', ...images, outputs: 32 })).toEqual({ flops });
  expect(opExtent({ op: 'resnet-block', ...images, groups: 4 })).toEqual({ flops: 3 * flops });
  expect(opExtent({ op: 'attention', part: 'forward', batch: 1, heads: 1, tokens: 4, channels: 8 })).toEqual({
    flops: 2 * 2 * 4 * 4 * 8,
  });
  expect(opExtent({ op: 'update', parameters: 100 })).toEqual({ bytes: 4000 });
  expect(opExtent({ op: 'group-norm-silu', part: 'forward', ...images, groups: 4 })).toEqual({});
});
