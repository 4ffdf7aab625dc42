import { describe, expect, test } from 'vitest';
import { type UNet1DOptions, unet1d } from '../../src/models/unet1d.ts';
import { testModelConformance } from './model-conformance.ts';

testModelConformance('unet1d', () => unet1d({ shape: [8, 2], channels: [4, 6], layers: 1 }));
testModelConformance('unet1d with attention, two layers, classes', () =>
  unet1d({ shape: [4, 1], channels: [4, 8], layers: 2, attention: true, classes: 2, nullClass: true }),
);
testModelConformance('unet1d of one level', () => unet1d({ shape: [5, 3], channels: [4] }));

describe('unet1d', () => {
  test.each<[Partial<UNet1DOptions>, string]>([
    [{ shape: [6, 1] }, 'the length is 6; 3 levels need a multiple of 4'],
    [{ shape: [8] as unknown as [number, number] }, 'shape'],
    [{ channels: [] }, 'channels'],
    [{ channels: [4, 3, 8] }, 'channels'],
    [{ layers: 0 }, 'layers'],
    [{ dropout: 1 }, 'dropout'],
  ])('refuses %j: %s', (options, message) => {
    expect(() => unet1d({ shape: [8, 1], ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(message) }),
    );
  });
});
