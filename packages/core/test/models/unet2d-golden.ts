import { describe, expect, test } from 'vitest';
import { type LoadedRun, loadRun } from '../../src/checkpoint/run.ts';
import type { Placement } from '../../src/graph/arena.ts';
import { gradient } from '../../src/graph/gradient.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { samplerUpdate } from '../../src/graph/ops/sampler-update.ts';
import { weightedMse } from '../../src/graph/ops/weighted-mse.ts';
import { compile } from '../../src/graph/program.ts';
import { fileOrder, parameterSize } from '../../src/models/parameter-layout.ts';
import { parameterValues } from '../../src/models/weights.ts';
import type { Device } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/ddim.ts';
import { ddpm } from '../../src/samplers/ddpm.ts';
import type { Sampler, SamplerStep } from '../../src/samplers/sampler.ts';
import { adamW, biasCorrections } from '../../src/training/optimizer.ts';
import { updateWeights } from '../../src/training/train-step.ts';
import { createTrainingState } from '../../src/training/training-state.ts';
import { goldenFolder, largestDifference, loadFixture, relativeL2 } from './golden.ts';

/** Forward, loss and gradients of one given batch: the training step without its noise. */
function lossGraph(
  { model }: LoadedRun,
  batch: number,
): { graph: Graph; output: Value; loss: Value; placements: Map<Value, Placement> } {
  const graph = new Graph();
  const shape = [batch, ...model.shape];
  const table = model.weights?.table;
  if (!table) throw new Error('no weights');
  const parameters = parameterValues(graph, table);
  const parameter = (name: string): Value => parameters.get(name) as Value;
  const x = graph.input('xt', shape);
  const output = model.forward({ x, t: graph.input('timesteps', [batch]), parameter });
  const { loss } = weightedMse(output, graph.input('target', shape), fill(graph, [batch], 1));
  const gradients = gradient([{ value: loss, gradient: fill(graph, [1], 1) }], [...parameters.values()]);
  const placements = new Map<Value, Placement>();
  for (const { name, offset } of table.slots) {
    placements.set(gradients.get(parameter(name)) as Value, { buffer: 'gradients', offset });
  }
  return { graph, output, loss, placements };
}

/**
 * Tests that a device computes what PyTorch and diffusers did, whose numbers stand in golden/.
 *
 * @param current the device, which is open while tests run
 * @param mostSteps of the optimizer and of each sampler, for devices that are slow
 */
export function testGoldenUNets(current: () => Device, mostSteps: number = Number.POSITIVE_INFINITY): void {
  describe.each(['unet-ddpm-tiny', 'unet-heads-tiny'])('%s', (name) => {
    test('output, loss and gradients are those of PyTorch and diffusers', async () => {
      const device = current();
      const run = await loadRun(goldenFolder(name), { device });
      const golden = await loadFixture(name);
      const timesteps = await golden('timesteps');
      const { graph, output, loss, placements } = lossGraph(run, timesteps.length);
      const { parameters, table } = run.model.weights as NonNullable<typeof run.model.weights>;
      using gradients = device.allocate(table.size * 4);
      using program = compile(graph, {
        device,
        buffers: { parameters, gradients },
        outputs: { output, loss },
        placements,
      });
      const inputs = { xt: await golden('xt'), target: await golden('target'), timesteps };
      const result = await program.run({ inputs });
      expect(largestDifference(result.output, await golden('output'))).toBeLessThan(1e-4);
      const expected = (await golden('loss'))[0] ?? 0;
      expect(Math.abs((result.loss[0] ?? 0) - expected) / expected).toBeLessThan(1e-5);
      for (const slot of table.slots) {
        const actual = await gradients.read(slot.offset, parameterSize(slot), fileOrder(slot));
        const expectedGradient = await golden(`grad.${slot.name}`);
        // The gradient by the keys' bias is zero in exact arithmetic: softmax does not feel a common shift of its arguments.
        const size = Math.sqrt(expectedGradient.reduce((sum, g) => sum + g * g, 0));
        if (size < 1e-6) expect(Math.sqrt(actual.reduce((sum, g) => sum + g * g, 0)), slot.name).toBeLessThan(1e-6);
        else expect(relativeL2(actual, expectedGradient), slot.name).toBeLessThan(1e-3);
      }
    });

    test('steps of AdamW give the losses and gradient norms of PyTorch', async () => {
      const device = current();
      const run = await loadRun(goldenFolder(name), { device });
      const golden = await loadFixture(name);
      const timesteps = await golden('timesteps');
      const { graph, loss, placements } = lossGraph(run, timesteps.length);
      const state = createTrainingState(run.model, device, { seed: 0, ema: false });
      const optimizer = adamW({ learningRate: 1e-3, weightDecay: 1e-2 });
      const { table, parameters } = state.weights;
      const { firstMoment, secondMoment } = state;
      const norm = updateWeights(graph, { table, optimizer, clipNorm: 1, ema: false, accumulate: 1 });
      using program = compile(graph, {
        device,
        buffers: { parameters, firstMoment, secondMoment },
        transient: { gradients: table.size },
        outputs: { loss, norm },
        placements,
      });
      const losses = await golden('adamw.losses');
      const norms = await golden('adamw.grad_norms');
      const inputs = { xt: await golden('xt'), target: await golden('target'), timesteps };
      for (let step = 0; step < Math.min(losses.length, mostSteps); step++) {
        const scalars = { learningRate: 1e-3, emaDecay: 0, ...biasCorrections(optimizer, step) };
        const result = await program.run({ inputs, scalars });
        expect(Math.abs((result.loss[0] ?? 0) / (losses[step] ?? 0) - 1), `loss of step ${step}`).toBeLessThan(1e-3);
        expect(Math.abs((result.norm[0] ?? 0) / (norms[step] ?? 0) - 1), `norm of step ${step}`).toBeLessThan(1e-3);
      }
      state.dispose();
    });

    const samplers: [string, (run: LoadedRun) => Sampler][] = [
      ['ddim', () => ddim({ steps: 10, compat: 'diffusers' })],
      ['ddpm', (run) => ddpm({ steps: 10, variance: run.scheduler.variance })],
    ];
    test.each(samplers)('a trajectory of %s is that of diffusers', async (kind, create) => {
      const device = current();
      const run = await loadRun(goldenFolder(name), { device });
      const golden = await loadFixture(name);
      const plan = create(run).plan(run.diffusion);
      expect(plan.map(({ t }) => t)).toEqual([...(await golden(`${kind}.timesteps`))]);
      let x = await golden('xT');
      const batch = x.length / run.model.shape.reduce((a, b) => a * b, 1);
      const graph = new Graph();
      const { parameters, table } = run.model.weights as NonNullable<typeof run.model.weights>;
      const values = parameterValues(graph, table);
      const shape = [batch, ...run.model.shape];
      const input = graph.input('x', shape);
      const t = fill(graph, [batch], graph.scalar('t'));
      const prediction = run.model.forward({ x: input, t, parameter: (key) => values.get(key) as Value });
      const names = ['x0FromX', 'x0FromPrediction', 'clip', 'x', 'x0', 'prediction', 'noise'] as const;
      const scalars = Object.fromEntries(names.map((key) => [key, graph.scalar(key)])) as Record<
        (typeof names)[number],
        never
      >;
      const { xNext } = samplerUpdate(
        { x: input, prediction, noise: graph.input('z', shape) },
        {
          x0FromX: scalars.x0FromX,
          x0FromPrediction: scalars.x0FromPrediction,
          clip: scalars.clip,
          coefficientX: scalars.x,
          coefficientX0: scalars.x0,
          coefficientPrediction: scalars.prediction,
          coefficientNoise: scalars.noise,
          seedLow: 0,
          seedHigh: 0,
          step: 0,
          sampleOffset: 0,
        },
      );
      using program = compile(graph, { device, buffers: { parameters }, outputs: { xNext } });
      for (const [i, step] of plan.slice(0, mostSteps).entries()) {
        const z = kind === 'ddpm' ? await golden(`ddpm.noise.${i}`) : new Float32Array(x.length);
        const rowOf = ({ t, ...row }: SamplerStep): Record<string, number> =>
          Object.fromEntries([['t', t], ...names.map((key) => [key, row[key]])]);
        const { xNext: next } = await program.run({ inputs: { x, z }, scalars: rowOf(step) });
        x = next;
        expect(largestDifference(x, await golden(`${kind}.${i}`)), `step ${i}`).toBeLessThan(1e-3);
      }
    });
  });
}
