import { describe, expect, test } from 'vitest';
import { mlp } from '../../src/models/mlp.ts';
import { testModelConformance } from './model-conformance.ts';

testModelConformance('mlp', () => mlp({ shape: [3], width: 8, layers: 2 }));
testModelConformance('mlp with classes and the null class', () =>
  mlp({ shape: [2], width: 8, layers: 1, classes: 3, nullClass: true }),
);

describe('mlp', () => {
  test('says how many classes it is told', () => {
    expect(mlp({ shape: [2] })).toMatchObject({ classes: null, nullClass: null, shape: [2] });
    expect(mlp({ shape: [2], classes: 3 })).toMatchObject({ classes: 3, nullClass: null });
    expect(mlp({ shape: [2], classes: 3, nullClass: true })).toMatchObject({ classes: 3, nullClass: 3 });
  });

  test.each([
    [{ shape: [0] as [number] }, 'shape[0]'],
    [{ shape: [2, 2] as unknown as [number] }, 'shape'],
    [{ shape: [2] as [number], width: 7 }, 'width'],
    [{ shape: [2] as [number], layers: 1.5 }, 'layers'],
    [{ shape: [2] as [number], nullClass: true }, 'nullClass'],
    [{ shape: [2] as [number], classes: 0 }, 'classes'],
  ])('refuses %j, naming %s', (options, name) => {
    expect(() => mlp(options)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(name) }),
    );
  });
});
