import {
  adamW,
  type CallTime,
  compile,
  diffusionObjective,
  gaussianDiffusion,
  initializeModel,
  linearSchedule,
  openDevice,
  trainStepGraph,
  uploadTables,
} from '@diffuse/core';
import { type BenchConfig, benchModel } from './configs.ts';
import { median } from './statistics.ts';
import { formatMs, table } from './table.ts';

const runs = 5;

/** Where the time of a training step goes: median time of each kernel call over a few steps, as text. */
export async function profileText(config: BenchConfig, threads: number): Promise<string> {
  const steps = await profileTrainStep(config, threads);
  const [first = []] = steps;
  const calls = first.map((call, i) => ({ ...call, timeMs: median(steps.map((step) => step[i]?.timeMs ?? 0)) }));
  const total = calls.reduce((sum, { timeMs }) => sum + timeMs, 0);
  const share = (ms: number): string => `${((100 * ms) / total).toFixed(1)} %`;

  const kernels = [...new Set(calls.map(({ kernel }) => kernel))]
    .map((kernel) => {
      const own = calls.filter((call) => call.kernel === kernel);
      return { kernel, count: own.length, timeMs: own.reduce((sum, { timeMs }) => sum + timeMs, 0) };
    })
    .sort((a, b) => b.timeMs - a.timeMs);
  const longest = [...calls].sort((a, b) => b.timeMs - a.timeMs).slice(0, 15);
  return [
    `${config.name}, batch ${config.batch}: ${formatMs(total)} ms a step in ${calls.length} kernel calls`,
    table(
      ['kernel', 'calls', 'ms', 'share'],
      kernels.map(({ kernel, count, timeMs }) => [kernel, String(count), formatMs(timeMs), share(timeMs)]),
    ),
    table(
      ['longest calls', 'ms', 'share'],
      longest.map(({ name, timeMs }) => [name, formatMs(timeMs), share(timeMs)]),
    ),
  ].join('\n\n');
}

/** Kernel times of some training steps after one that warms up. */
async function profileTrainStep(config: BenchConfig, threads: number): Promise<readonly CallTime[][]> {
  using device = await openDevice('cpu', { threads });
  const model = benchModel(config);
  const { table: layout, parameters } = await initializeModel(model, device);
  const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
  const objective = diffusionObjective(diffusion);
  const tables = uploadTables(device, objective);
  await tables.ready;
  const { graph, outputs, placements } = trainStepGraph({
    model,
    table: layout,
    objective,
    batchSize: config.batch,
    seed: 0,
    optimizer: adamW(),
    clipNorm: 0,
    ema: false,
    accumulate: 1,
  });
  const flat = ['gradients', 'firstMoment', 'secondMoment'];
  const own = Object.fromEntries(flat.map((name) => [name, device.allocate(layout.size * 4)]));
  using program = compile(graph, { device, outputs, placements, buffers: { parameters, ...tables.buffers, ...own } });
  const images = new Uint8Array(config.batch * model.shape.reduce((product, size) => product * size, 1)).fill(100);
  const step = (index: number): Promise<CallTime[]> =>
    program.profile({
      inputs: { data: images },
      scalars: {
        ...{ step: index, sampleOffset: 0, learningRate: 2e-4, emaDecay: 0 },
        ...{ biasCorrection1: 1 - 0.9 ** (index + 1), biasCorrection2: 1 - 0.999 ** (index + 1) },
      },
    });
  await step(0);
  const steps: CallTime[][] = [];
  for (let i = 1; i <= runs; i++) steps.push(await step(i));
  return steps;
}
