import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion, posteriorCoefficients, type TargetName } from '../../src/diffusion/index.ts';
import { gaussianLossFloor, lossByLevel } from '../../src/evaluation/loss-by-level.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { compile } from '../../src/graph/program.ts';
import { type Mlp, mlp } from '../../src/models/mlp.ts';
import { type ModelWeights, parameterValues } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { logLinearSchedule } from '../../src/schedules/index.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { train } from '../../src/training/train.ts';
import { floatDataset } from '../evaluation/gaussian-model.ts';
import { normals } from '../random/normal.ts';

const s = 0.5;
const schedule = logLinearSchedule({ steps: 12, sigmaMin: 0.05, sigmaMax: 5 });

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

/** N(0, s^2), numbers of which each is seen about once. */
const data = floatDataset(
  Float32Array.from(normals(1, 100_000), (z) => s * z),
  [1],
);

/** A small network, trained for a few seconds. */
async function trained(predict: TargetName): Promise<Mlp> {
  const model = mlp({ shape: [1], width: 32, layers: 2 });
  const training = train({
    ...{
      model,
      diffusion: gaussianDiffusion({ schedule, predict }),
      data,
      device,
      steps: 1000,
      batchSize: 256,
      seed: 3,
    },
    ...{
      optimizer: adamW({ learningRate: 3e-3, weightDecay: 0 }),
      learningRateShape: 'cosine',
      ema: 0.99,
      clipNorm: 0,
    },
  });
  for await (const { loss } of training) expect(Number.isFinite(loss)).toBe(true);
  return model;
}

/** What a network says of x at a timestep, with the average of its weights. */
async function ask(model: Mlp, x: Float32Array, t: number): Promise<Float32Array> {
  const graph = new Graph();
  const { table, parameters, ema } = model.weights as ModelWeights;
  const values = parameterValues(graph, table);
  const said = model.forward({
    x: graph.input('x', [x.length, 1]),
    t: graph.input('t', [x.length]),
    parameter: (name) => values.get(name) as Value,
  });
  using program = compile(graph, { device, buffers: { parameters: ema ?? parameters }, outputs: { said } });
  return (await program.run({ inputs: { x, t: new Float32Array(x.length).fill(t) } })).said;
}

/** Noisy data of a level, x_t ~ N(0, alphaBar s^2 + 1 - alphaBar). */
const noisyData = (alphaBar: number): Float32Array =>
  Float32Array.from(normals(5, 2000), (z) => z * Math.sqrt(alphaBar * s * s + 1 - alphaBar));

describe('a trained network on N(0, s^2)', () => {
  test('that predicts the noise sits on the floor s^2 / (s^2 + sigma^2) at every level', async () => {
    const model = await trained('eps');
    const diffusion = gaussianDiffusion({ schedule, predict: 'eps' });
    const floor = (sigma: number): number => gaussianLossFloor([s * s], sigma);
    const options = { model, diffusion, data, device, floor, count: 10_000, batchSize: 1000, seed: 8 };
    const { levels } = await lossByLevel(options);
    expect(levels.length).toBe(schedule.steps);
    for (const { t, sigma, eps, floor: least = 0 } of levels) {
      expect(least).toBeCloseTo((s * s) / (s * s + sigma * sigma), 12);
      expect(Math.abs(eps.mean - least), `t = ${t}`).toBeLessThan(4 * eps.standardError);
      expect(eps.standardError).toBeLessThan(0.015 * least);
      // What the loss has above the floor is the squared distance to E[eps | x_t], here without the chance of the noise.
      const alphaBar = diffusion.alphaBarAt(t);
      const gain = Math.sqrt(1 - alphaBar) / (alphaBar * s * s + 1 - alphaBar);
      const x = noisyData(alphaBar);
      const said = await ask(model, x, t);
      const excess = said.reduce((sum, value, i) => sum + (value - gain * (x[i] as number)) ** 2, 0) / x.length;
      expect(excess, `t = ${t}`).toBeLessThan(0.03 * least);
    }
  });

  test("that predicts the mean of the step before says what the tutorial's claim 2 makes of an estimate of x0", async () => {
    const [mean, x0] = [await trained('mean'), await trained('x0')];
    for (let t = 0; t < schedule.steps; t++) {
      const alphaBar = schedule.alphaBar[t] as number;
      const claim = posteriorCoefficients(alphaBar, schedule.alphaBar[t - 1] ?? 1);
      const x = noisyData(alphaBar);
      const [found, estimate] = [await ask(mean, x, t), await ask(x0, x, t)];
      const combined = x.map((value, i) => claim.x0 * (estimate[i] as number) + claim.xt * value);
      expect(distance(found, combined), `t = ${t}`).toBeLessThan(0.02);
      // It has learned more than to repeat its input, which is what the target x_{t+dt} of some notes would teach it.
      if (t >= 5) expect(distance(x, combined)).toBeGreaterThan(0.2);
    }
  });
});

/** Root mean square of the difference, as a share of that of `b`. */
function distance(a: Float32Array, b: Float32Array): number {
  return Math.hypot(...a.map((value, i) => value - (b[i] as number))) / Math.hypot(...b);
}
