import {
  type CallTime,
  compile,
  DiffuseError,
  initializeModel,
  type Node,
  type Plan,
  plan,
  uploadTables,
} from '@diffuse/core';
import type { BenchConfig } from '../configs.ts';
import { median } from '../statistics.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';
import { trainGraph } from './train-graph.ts';
import { noiseBytes } from './train-session.ts';

/** A kernel call of a training step. */
export interface ProfiledCall extends CallTime {
  /** What it computes from what, after ops were merged. */
  readonly node: Node;
  /** How the elements of its tensors lie in memory. */
  readonly storageOf: Plan['storageOf'];
}

const runs = 5;

/** Median time of each kernel call over a few training steps after one that warms up, in the order of the calls. */
export async function profileTrainStep(config: BenchConfig, options: BenchDevice): Promise<readonly ProfiledCall[]> {
  using device = await openBenchDevice(options);
  const { graph, outputs, placements, transient, model, objective, table } = trainGraph(config);
  const { parameters } = await initializeModel(model, device);
  const tables = uploadTables(device, objective);
  await tables.ready;
  const flat = ['firstMoment', 'secondMoment'];
  const own = Object.fromEntries(flat.map((name) => [name, device.allocate(table.size * 4)]));
  const buffers = { parameters, ...tables.buffers, ...own };
  using program = compile(graph, { device, outputs, placements, transient, buffers });
  const data = noiseBytes(config.batch * model.shape.reduce((product, size) => product * size, 1));
  const step = (index: number): Promise<CallTime[]> =>
    program.profile({
      inputs: { data },
      scalars: {
        ...{ step: index, sampleOffset: 0, learningRate: 2e-4, emaDecay: 0 },
        ...{ biasCorrection1: 1 - 0.9 ** (index + 1), biasCorrection2: 1 - 0.999 ** (index + 1) },
      },
    });
  const first = await step(0);
  const steps: CallTime[][] = [];
  for (let i = 1; i <= runs; i++) steps.push(await step(i));
  const images = device.precision === 'fp32' ? 'f32' : 'bf16';
  const { nodes, storageOf } = plan(graph, Object.values(outputs), placements, { images });
  return first.map((call, i) => ({
    ...call,
    node: nodeOf(call, nodes[i]),
    storageOf,
    timeMs: median(steps.map((calls) => calls[i]?.timeMs ?? 0)),
  }));
}

/** Planning twice gives the same calls in the same order. @throws `ERR_ARGUMENT` when it does not. */
function nodeOf({ name, kernel }: CallTime, node: Node | undefined): Node {
  if (node?.kernel === kernel && node.name === name) return node;
  throw new DiffuseError('ERR_ARGUMENT', `the plan has ${node?.name} where ${name} was run`);
}
