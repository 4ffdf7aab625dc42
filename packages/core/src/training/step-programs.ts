import {
  compile,
  estimateMemory,
  type MemoryEstimate,
  type Program,
  type RunOptions,
  type TensorData,
} from '../graph/program.ts';
import type { Network } from '../models/model.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Batch } from './batches.ts';
import {
  accumulationGraph,
  gradientGraph,
  SAMPLE_LOSSES,
  type StepGraph,
  type TrainStepOptions,
  trainStepGraph,
  updateGraph,
} from './train-step.ts';
import type { TrainingState } from './training-state.ts';

/** The numbers that the second half of a step is given anew. */
export type StepScalars = Readonly<Record<'learningRate' | 'biasCorrection1' | 'biasCorrection2' | 'emaDecay', number>>;

/** What a step reports. */
export interface StepResult {
  /** Mean over the accumulated batches. */
  readonly loss: number;
  readonly norm: number;
  /** The objective's own figures, means over the accumulated batches. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Loss of each sample of each batch, of a loss-aware objective. */
  readonly perSample: readonly Float32Array[];
}

/** One optimizer step, compiled. */
export interface Step {
  /** Bytes of arena and scratch. */
  readonly peakBytes: number;
  /** @param index steps done before this one. @param batches one for each forward pass. */
  run(
    index: number,
    batches: readonly Batch[],
    scalars: StepScalars,
    signal: AbortSignal | undefined,
  ): Promise<StepResult>;
  /** Runs a step that went wrong again, looking at every tensor; returns the error that names the first bad one. */
  diagnose(index: number, batches: readonly Batch[], scalars: StepScalars): Promise<DiffuseError>;
  dispose(): void;
}

/** Where a step computes: the device, the buffers that it changes and the tables of the objective. */
export interface StepPlace {
  readonly device: Device;
  readonly state: TrainingState;
  readonly tables: Readonly<Record<string, DeviceBuffer>>;
}

/**
 * Compiles a step: one program, or three when gradients of several batches are accumulated.
 *
 * @throws `ERR_OUT_OF_MEMORY`, `ERR_SHAPE`, `ERR_ARGUMENT`.
 */
export function compileStep(options: TrainStepOptions, place: StepPlace): Step {
  return options.accumulate === 1 ? compileWholeStep(options, place) : compileAccumulatedStep(options, place);
}

type Compiler = <Output extends string>(
  step: StepGraph<Output>,
  atBatch?: (batchSize: number) => StepGraph<Output>,
) => Program<Output>;

/** Compiles graphs over the buffers of a training state. */
function compiler(
  batchSize: number,
  { device, state, tables }: StepPlace,
  extra: Record<string, DeviceBuffer> = {},
): Compiler {
  const { weights, firstMoment, secondMoment } = state;
  const buffers = {
    parameters: weights.parameters,
    firstMoment,
    secondMoment,
    ...(weights.ema && { ema: weights.ema }),
    ...tables,
    ...extra,
  };
  return ({ graph, ...step }, atBatch) => {
    const memoryAt = (size: number): MemoryEstimate => {
      const { graph: other, ...rest } = (atBatch as NonNullable<typeof atBatch>)(size);
      return estimateMemory(other, { device, buffers, ...rest });
    };
    return compile(graph, {
      device,
      buffers,
      ...step,
      ...(atBatch && { batch: { size: batchSize, memoryAt } }),
    });
  };
}

/** What a program is run with. */
type Request = Pick<RunOptions, 'inputs' | 'scalars'>;

function compileWholeStep(options: TrainStepOptions, place: StepPlace): Step {
  const compileWith = compiler(options.batchSize, place);
  const program = compileWith(trainStepGraph(options), (batchSize) => trainStepGraph({ ...options, batchSize }));
  const request = (index: number, [batch]: readonly Batch[], scalars: StepScalars): Request => ({
    inputs: inputsOf(options.model, batch as Batch),
    scalars: { ...scalars, step: index, sampleOffset: 0 },
  });
  return {
    peakBytes: program.peakBytes,
    async run(index, batches, scalars, signal) {
      const { figures, perSample } = sorted(await program.run({ ...request(index, batches, scalars), signal }));
      const { loss, norm, ...outputs } = figures;
      return { loss: given(loss), norm: given(norm), outputs, perSample };
    },
    diagnose: (index, batches, scalars) =>
      firstNonFinite(index, () => program.run({ ...request(index, batches, scalars), checkFinite: true })),
    dispose: () => program.dispose(),
  };
}

function compileAccumulatedStep(options: TrainStepOptions, place: StepPlace): Step {
  const { batchSize, model, table } = options;
  const buffers = { gradients: place.device.allocate(table.size * 4), sum: place.device.allocate(table.size * 4) };
  const release = (): void => {
    for (const buffer of Object.values(buffers)) buffer.dispose();
  };
  const { forwardBackward, accumulate, update } = orRelease(release, () => {
    const compileWith = compiler(batchSize, place, buffers);
    return {
      forwardBackward: compileWith(gradientGraph(options), (size) => gradientGraph({ ...options, batchSize: size })),
      accumulate: compileWith(accumulationGraph(table)),
      update: compileWith(updateGraph(options, 'sum')),
    };
  });
  const request = (index: number, micro: number, batch: Batch): Request => ({
    inputs: inputsOf(model, batch),
    scalars: { step: index, sampleOffset: micro * batchSize },
  });
  return {
    peakBytes: Math.max(forwardBackward.peakBytes, accumulate.peakBytes, update.peakBytes),
    async run(index, batches, scalars, signal) {
      const totals: Record<string, number> = {};
      const losses: Float32Array[] = [];
      for (const [micro, batch] of batches.entries()) {
        const { figures, perSample } = sorted(await forwardBackward.run({ ...request(index, micro, batch), signal }));
        losses.push(...perSample);
        for (const [name, value] of Object.entries(figures)) totals[name] = (totals[name] ?? 0) + value;
        await accumulate.run({ scalars: { keep: micro === 0 ? 0 : 1 }, signal });
      }
      const { norm } = sorted(await update.run({ scalars, signal })).figures;
      for (const name of Object.keys(totals)) totals[name] = given(totals[name]) / batches.length;
      const { loss, ...outputs } = totals;
      return { loss: given(loss), norm: given(norm), outputs, perSample: losses };
    },
    diagnose: (index, batches) =>
      firstNonFinite(index, async () => {
        for (const [micro, batch] of batches.entries()) {
          await forwardBackward.run({ ...request(index, micro, batch), checkFinite: true });
        }
      }),
    dispose() {
      for (const program of [forwardBackward, accumulate, update]) program.dispose();
      release();
    },
  };
}

/** What `make` returns; if it fails, what was taken for it is released. */
function orRelease<Made>(release: () => void, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    release();
    throw error;
  }
}

async function firstNonFinite(index: number, run: () => Promise<unknown>): Promise<DiffuseError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof DiffuseError && error.code === 'ERR_NON_FINITE') {
      return new DiffuseError(
        'ERR_NON_FINITE',
        `step ${index + 1}: ${error.message}; the weights are as they were before this step`,
        { cause: error },
      );
    }
    throw error;
  }
  return new DiffuseError(
    'ERR_NON_FINITE',
    `step ${index + 1}: the loss or the gradient norm is not finite, though every tensor is: the gradient is too long for float32`,
  );
}

function inputsOf({ classes }: Network, { data, labels, drawn }: Batch): Record<string, TensorData> {
  return { data, ...(classes !== null && labels && { labels }), ...drawn };
}

/** The outputs of a step are numbers, in arrays of one element, but for the losses of the samples. */
function sorted({ [SAMPLE_LOSSES]: losses, ...arrays }: Readonly<Record<string, Float32Array>>): {
  figures: Record<string, number>;
  perSample: Float32Array[];
} {
  const figures = Object.fromEntries(Object.entries(arrays).map(([name, [value]]) => [name, given(value)]));
  return { figures, perSample: losses ? [losses] : [] };
}

function given(value: number | undefined): number {
  return value ?? Number.NaN;
}
