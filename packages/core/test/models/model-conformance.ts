import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradient } from '../../src/graph/gradient.ts';
import { elementCount, Graph, type Value } from '../../src/graph/graph.ts';
import { compile, type TensorData } from '../../src/graph/program.ts';
import type { Model } from '../../src/models/model.ts';
import { parameterSize } from '../../src/models/parameter-layout.ts';
import { initializeModel, type ParameterTable, parameterTable, parameterValues } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { normals } from '../random/normal.ts';

const batch = 2;

/**
 * What every model must do; sizes are those of a model small enough for finite differences.
 *
 * @param isTold false for networks that know no classes at all.
 */
export function testModelConformance(what: string, create: () => Model, { isTold = true } = {}): void {
  describe(what, () => {
    let device: Device;
    beforeAll(async () => {
      device = await openDevice('cpu', { threads: 2 });
    });
    afterAll(() => device.dispose());

    test('lists every parameter that it uses, once', () => {
      const model = create();
      const names = model.parameters.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      const used = new Set<string>();
      const { graph, inputs, parameters } = placeholders(model);
      const parameter = (name: string): Value => {
        used.add(name);
        return parameters.get(name) as Value;
      };
      model.forward({ ...inputs, parameter });
      expect([...used].sort()).toEqual([...names].sort());
      expect(graph.nodes.length).toBeGreaterThan(0);
    });

    test('returns the shape that it is given, and refuses another', () => {
      const model = create();
      const { graph, inputs, parameters } = placeholders(model);
      const parameter = (name: string): Value => parameters.get(name) as Value;
      expect(model.forward({ ...inputs, parameter }).shape).toEqual([batch, ...model.shape]);
      const wider = [batch, ...model.shape.slice(0, -1), (model.shape.at(-1) ?? 0) + 1];
      expect(() => model.forward({ ...inputs, x: graph.input('wider', wider), parameter })).toThrow(
        expect.objectContaining({ code: 'ERR_SHAPE' }),
      );
    });

    if (isTold) {
      test('needs labels exactly when it is told a class', () => {
        const model = create();
        const { graph, inputs, parameters } = placeholders(model);
        const labels = model.classes === null ? graph.input('unasked', [batch], 'i32') : undefined;
        const parameter = (name: string): Value => parameters.get(name) as Value;
        expect(() => model.forward({ ...inputs, labels, parameter })).toThrow(
          expect.objectContaining({ code: 'ERR_ARGUMENT' }),
        );
      });
    }

    test('the same seed gives the same bits with 1 and 2 threads, another seed others', async () => {
      const run = async (threads: number, seed: number): Promise<Float32Array> => {
        using other = await openDevice('cpu', { threads });
        const model = create();
        const { parameters } = await initializeModel(model, other, { seed });
        const { y } = await evaluator(model, other).run(await parameters.read(0, parameters.byteLength / 4));
        return y as Float32Array;
      };
      const reference = await run(1, 3);
      expect(await run(2, 3)).toEqual(reference);
      expect(await run(2, 4)).not.toEqual(reference);
    });

    test('the gradient by each parameter and by x is that of finite differences', async () => {
      const model = create();
      const table = parameterTable(model.parameters);
      using program = evaluator(model, device);
      const point = anyWeights(table);
      const found = await program.run(point);
      for (const [index, { name, offset }] of table.slots.entries()) {
        const slope = found[name] as Float32Array;
        const direction = unitVector(slope.length, index);
        await expectSlope(name, slope, direction, (step) =>
          program.objective(moved(point, offset, direction, step), program.x),
        );
      }
      const direction = unitVector(program.x.length, table.slots.length);
      await expectSlope('x', found.x as Float32Array, direction, (step) =>
        program.objective(point, moved(program.x, 0, direction, step)),
      );
    });
  });
}

/** As weights are initialised, but zeros too become small numbers: where everything behind is zero there is nothing to check. */
function anyWeights(table: ParameterTable): Float32Array {
  const weights = new Float32Array(table.size);
  for (const [index, slot] of table.slots.entries()) {
    const inputs = slot.layout === 'plain' ? 4 : elementCount(slot.shape.slice(0, -1));
    const gain = slot.layout === 'plain' && slot.shape.length === 1 && slot.name.endsWith('.weight');
    const values = normals(5, parameterSize(slot), index).map((z) => Number(gain) + z / Math.sqrt(inputs));
    weights.set(values, slot.offset);
  }
  return weights;
}

function unitVector(size: number, stream: number): Float64Array {
  const vector = normals(6, size, stream);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** `values` with `step * direction` added from `offset` on. */
function moved(values: Float32Array, offset: number, direction: Float64Array, step: number): Float32Array {
  const result = values.slice();
  for (const [i, d] of direction.entries()) result[offset + i] = (values[offset + i] ?? 0) + step * d;
  return result;
}

/** Compares `slope · direction` with the five-point difference of `objective` along the direction, of unit length. */
async function expectSlope(
  name: string,
  slope: Float32Array,
  direction: Float64Array,
  objective: (step: number) => Promise<number>,
): Promise<void> {
  const h = 0.02;
  const [a, b, c, d] = [await objective(-2 * h), await objective(-h), await objective(h), await objective(2 * h)];
  const difference = (8 * (c - b) - (d - a)) / (12 * h);
  const along = slope.reduce((sum, g, i) => sum + g * (direction[i] ?? 0), 0);
  const size = Math.hypot(...slope) / Math.sqrt(slope.length);
  expect(size, `the gradient by ${name} is zero`).toBeGreaterThan(0);
  expect(Math.abs(along - difference) / Math.max(size, 1e-2), name).toBeLessThan(5e-3);
}

interface Evaluator {
  /** Inputs and seed of the gradient that every run uses. */
  readonly x: Float32Array;
  /** The prediction `y`, and the gradient of Σ seed · y by each parameter and by `x`. */
  run(parameters: Float32Array): Promise<Record<string, Float32Array>>;
  /** Σ seed · y, summed in float64. */
  objective(parameters: Float32Array, x: Float32Array): Promise<number>;
  [Symbol.dispose](): void;
}

function evaluator(model: Model, device: Device): Evaluator {
  const { graph, inputs, parameters, table, feeds } = placeholders(model);
  const y = model.forward({ ...inputs, parameter: (name) => parameters.get(name) as Value });
  const seed = Float32Array.from(normals(9, elementCount(y.shape)));
  const wrt = [...parameters.entries(), ['x', inputs.x] as const];
  const gradients = gradient(
    [{ value: y, gradient: graph.input('seed', y.shape) }],
    wrt.map(([, value]) => value),
  );
  const outputs = { y, ...Object.fromEntries(wrt.map(([name, value]) => [name, gradients.get(value) as Value])) };
  const buffer = device.allocate(4 * table.size);
  const program = compile(graph, { device, buffers: { parameters: buffer }, outputs });
  const x = Float32Array.from(normals(10, elementCount(inputs.x.shape)));
  const run = async (weights: Float32Array, points: Float32Array = x): Promise<Record<string, Float32Array>> => {
    await buffer.write(0, weights);
    return program.run({ inputs: { ...feeds, x: points, seed } });
  };
  return {
    x,
    run,
    async objective(weights, points) {
      const { y: values } = await run(weights, points);
      return (values as Float32Array).reduce((sum, value, i) => sum + value * (seed[i] ?? 0), 0);
    },
    [Symbol.dispose]: () => {
      program.dispose();
      buffer.dispose();
    },
  };
}

interface Placeholders {
  readonly graph: Graph;
  readonly inputs: { readonly x: Value; readonly t: Value; readonly labels?: Value | undefined };
  readonly parameters: Map<string, Value>;
  readonly table: ParameterTable;
  /** Timesteps and labels. */
  readonly feeds: Record<string, TensorData>;
}

function placeholders(model: Model): Placeholders {
  const graph = new Graph();
  const table = parameterTable(model.parameters);
  const x = graph.input('x', [batch, ...model.shape]);
  const t = graph.input('t', [batch]);
  const labels = model.classes === null ? undefined : graph.input('labels', [batch], 'i32');
  return {
    graph,
    inputs: { x, t, labels },
    parameters: parameterValues(graph, table),
    table,
    feeds: {
      t: Float32Array.of(3, 800),
      ...(labels && { labels: Int32Array.of(0, model.nullClass ?? 1) }),
    },
  };
}
