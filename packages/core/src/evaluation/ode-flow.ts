import { targets } from '../diffusion/targets.ts';
import { gradient } from '../graph/gradient.ts';
import { elementCount, expectShape, Graph, type Value } from '../graph/graph.ts';
import { fill, multiply } from '../graph/ops/elementwise.ts';
import { sumSamples } from '../graph/ops/reductions.ts';
import { compile, estimateMemory, type MemoryEstimate, type Program } from '../graph/program.ts';
import { timestepOf } from '../schedules/levels.ts';
import { type EvaluationBatch, padded } from './evaluation-data.ts';
import { type EvaluatedNetwork, emitNetwork, weightsOf } from './network.ts';

/** The network as the field of the probability-flow ODE; x and the noise are flat, in the variance-exploding view. */
export interface Flow {
  /** The noise that the network sees in x at the noise level sigma. */
  eps(x: Float64Array, sigma: number, batch: EvaluationBatch): Promise<Float64Array>;
  /**
   * The same, and an estimate of the trace of d eps / d x for each sample.
   *
   * @param v random vectors, see {@link hutchinsonTrace}.
   */
  epsAndTrace(
    x: Float64Array,
    sigma: number,
    batch: EvaluationBatch,
    v: Float32Array,
  ): Promise<{ readonly eps: Float64Array; readonly trace: Float64Array }>;
  [Symbol.dispose](): void;
}

/**
 * Compiles {@link Flow} for batches of up to `batchSize` samples: one program with the gradient and one without.
 *
 * @param onRun called after each run of the network.
 * @throws `ERR_ARGUMENT` for a model without weights, `ERR_OUT_OF_MEMORY`.
 */
export function compileFlow(
  network: EvaluatedNetwork,
  batchSize: number,
  { signal, onRun }: { signal: AbortSignal | undefined; onRun: () => void },
): Flow {
  const { model, diffusion } = network;
  const dimensions = elementCount(model.shape);
  const size = batchSize * dimensions;
  const plain = compileField(network, batchSize, false);
  const traced = disposingOnError(plain, () => compileField(network, batchSize, true));

  const run = async (
    program: Program,
    x: Float64Array,
    sigma: number,
    { labels }: EvaluationBatch,
    v?: Float32Array,
  ): Promise<{ eps: Float64Array; trace: Float64Array }> => {
    const t = timestepOf(diffusion.schedule, sigma);
    const signalLevel = Math.sqrt(diffusion.alphaBarAt(t));
    const scale = diffusion.inputScale(t);
    const result = (await program.run({
      inputs: {
        x: padded(
          Float32Array.from(x, (value) => scale * signalLevel * value),
          size,
        ),
        ...(labels && { labels: padded(labels, batchSize) }),
        ...(v && { v: padded(v, size) }),
      },
      scalars: { told: diffusion.told(t) },
      signal,
    })) as Record<string, Float32Array>;
    onRun();
    const prediction = result.prediction as Float32Array;
    // eps = factors.x x_t + factors.prediction prediction; the first part has a trace that needs no estimate.
    const factors = diffusion.convertTo(targets.eps, t);
    const eps = x.map((value, i) => factors.x * signalLevel * value + factors.prediction * (prediction[i] as number));
    const trace = Float64Array.from(
      (result.trace ?? new Float32Array()).subarray(0, x.length / dimensions),
      (value) => signalLevel * (factors.x * dimensions + factors.prediction * scale * value),
    );
    return { eps, trace };
  };
  return {
    eps: async (x, sigma, batch) => (await run(plain, x, sigma, batch)).eps,
    epsAndTrace: (x, sigma, batch, v) => run(traced, x, sigma, batch, v),
    [Symbol.dispose]() {
      plain.dispose();
      traced.dispose();
    },
  };
}

/**
 * Hutchinson's estimate of the trace of the Jacobian of `output` by `input`: v' J v for each sample, by one gradient (Hutchinson 1990,
 * doi:10.1080/03610919008812866). Its mean over v is the trace; with signs for v it is exact where J is diagonal.
 *
 * @param output float32 [N, ..., C], a function of `input` in which samples do not meet.
 * @param input float32, of the same shape.
 * @param v random vectors with mean 0 and unit covariance, of the same shape.
 * @returns float32 [N]
 * @throws `ERR_SHAPE` for other shapes.
 */
export function hutchinsonTrace(output: Value, input: Value, v: Value): Value {
  expectShape('input of hutchinsonTrace', input.shape, output.shape);
  expectShape('v of hutchinsonTrace', v.shape, output.shape);
  const product = gradient([{ value: output, gradient: v }], [input]).get(input) as Value;
  return sumSamples(multiply(product, v));
}

/** The network at one noise level for all samples: inputs `x`, `labels` where it has classes and `v` if `traced`, scalar `told`. */
function compileField(network: EvaluatedNetwork, batchSize: number, traced: boolean): Program {
  const { model, device } = network;
  const build = (size: number): { graph: Graph; outputs: Record<string, Value> } => {
    const graph = new Graph();
    const x = graph.input('x', [size, ...model.shape]);
    const { prediction } = emitNetwork(network, x, fill(graph, [size], graph.scalar('told')));
    if (!traced) return { graph, outputs: { prediction } };
    return { graph, outputs: { prediction, trace: hutchinsonTrace(prediction, x, graph.input('v', x.shape)) } };
  };
  const buffers = { parameters: weightsOf(network) };
  const memoryAt = (size: number): MemoryEstimate => {
    const smaller = build(size);
    return estimateMemory(smaller.graph, { device, buffers, outputs: smaller.outputs });
  };
  const { graph, outputs } = build(batchSize);
  return compile(graph, { device, buffers, outputs, batch: { size: batchSize, memoryAt } });
}

function disposingOnError<T>(resource: Program, make: () => T): T {
  try {
    return make();
  } catch (error) {
    resource.dispose();
    throw error;
  }
}
