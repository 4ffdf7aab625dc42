import type { Diffusion } from '../diffusion/gaussian.ts';
import { type Attribute, elementCount, Graph, sliceChannels, type Value } from '../graph/graph.ts';
import { add, fill, multiply } from '../graph/ops/elementwise.ts';
import { randomNormal } from '../graph/ops/random.ts';
import { samplerUpdate } from '../graph/ops/sampler-update.ts';
import { compile, type Program } from '../graph/program.ts';
import type { Model } from '../models/model.ts';
import { type ModelWeights, parameterValues, weightsOn } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, splitSeed } from '../random/philox.ts';
import { addsPrediction, estimateScalars, estimateX0 } from './estimate.ts';
import type { Guidance } from './guidance.ts';
import { noiseFactors, type SamplerStep } from './sampler.ts';

/** What the programs of sampling are made for. */
export interface SamplingOptions {
  readonly model: Model;
  readonly diffusion: Diffusion;
  readonly device: Device;
  /** The rows that will be asked for: buffers are made for what they use alone. */
  readonly plan: readonly SamplerStep[];
  /** Samples computed at once. */
  readonly batchSize: number;
  readonly ema: boolean;
  readonly guidance: Guidance | undefined;
  /** Samples are given: they are where the sampling starts, or what stays as it is under a mask. */
  readonly given: boolean;
  readonly masked: boolean;
  /** Also read what the network said and its estimate after each step. */
  readonly fetch: boolean;
}

/** Where a batch begins: a function of the seed, and of the given samples if there are any. */
export interface BeginRequest {
  readonly seed: number;
  /** Index of the batch's first sample. */
  readonly offset: number;
  /** Shares of the given samples and of noise in the start. */
  readonly signal: number;
  readonly deviation: number;
  /** float32 [batchSize, ...shape] */
  readonly given?: Float32Array | undefined;
  /** float32 [batchSize, ...shape], 1 where the given samples stay. */
  readonly mask?: Float32Array | undefined;
}

/** One step of one batch. */
export interface StepRequest {
  readonly step: SamplerStep;
  readonly index: number;
  readonly seed: number;
  readonly offset: number;
  /** int32 [batchSize]; for conditional models. */
  readonly labels: Int32Array | undefined;
  /** int32 [batchSize]; the classes that a classifier leads to. */
  readonly guideLabels: Int32Array | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What one step said, if it was to be fetched; float32 [batchSize, ...shape]. */
export type StepOutputs = Partial<Record<'prediction' | 'x0', Float32Array>>;

/** The two programs of sampling: the start, and one step. The samples stay on the device between steps. */
export interface Sampling {
  begin(request: BeginRequest): Promise<unknown>;
  step(request: StepRequest): Promise<StepOutputs>;
  read(): Promise<Float32Array>;
  dispose(): void;
}

/** Device memory of a sampling by the names that its graphs use. */
type Buffers = Readonly<Record<string, DeviceBuffer>>;

/** Compiles both programs. @throws DiffuseError `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY` */
export function compileSampling(options: SamplingOptions): Sampling {
  const { model, device, batchSize, plan, guidance } = options;
  const shape = [batchSize, ...model.shape];
  const elements = elementCount(shape);
  const names = [
    'x',
    ...memoryNames(plan),
    ...(takesEstimate(options) ? ['estimate'] : []),
    ...(options.given ? ['given'] : []),
    ...(options.masked ? ['mask'] : []),
  ];
  const buffers: Record<string, DeviceBuffer> = {};
  const programs: Program[] = [];
  const dispose = (): void => {
    for (const item of [...programs, ...Object.values(buffers)]) item.dispose();
  };
  try {
    for (const name of names) buffers[name] = device.allocate(4 * elements);
    const begin = compileBegin(device, shape, buffers as Buffers);
    programs.push(begin);
    const weights = weightsOn(model, device);
    const all = { ...buffers, parameters: pickWeights(weights, options.ema), ...guideBuffers(options) };
    const step = compileStep(options, shape, all);
    programs.push(step);
    return {
      async begin({ seed, offset, signal, deviation, given, mask }) {
        if (given) await buffers.given?.write(0, given);
        if (mask) await buffers.mask?.write(0, mask);
        await begin.run({ scalars: { ...seedScalars(seed), sampleOffset: offset, signal, deviation } });
      },
      step: ({ step: row, index, seed, offset, labels, guideLabels, signal }) =>
        step.run({
          scalars: {
            ...stepScalars(options, row),
            ...guidanceScalars(options.diffusion, guidance, row),
            ...seedScalars(seed),
            step: index,
            sampleOffset: offset,
          },
          inputs: { ...labelInputs(options, labels), ...(guideLabels && { guideLabels }) },
          signal,
        }),
      read: () => (buffers.x as DeviceBuffer).read(0, elements),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

function labelInputs({ model, guidance }: SamplingOptions, labels: Int32Array | undefined): Record<string, Int32Array> {
  if (!labels) return {};
  if (guidance?.kind !== 'class') return { labels };
  return { labels, nullLabels: new Int32Array(labels.length).fill(model.nullClass as number) };
}

/** The memory of multistep methods, as far as these rows use it. */
function memoryNames(plan: readonly SamplerStep[]): readonly string[] {
  const older = plan.some((row) => row.older !== 0);
  const history = older || plan.some((row) => row.history !== 0);
  return [...(history ? ['history'] : []), ...(older ? ['older'] : [])];
}

/** Whether a network is told what the step before has made of x0. */
function takesEstimate({ model, guidance }: SamplingOptions): boolean {
  return [model, guidance?.kind === 'autoguidance' ? guidance.model : model].some(
    ({ selfConditioning }) => selfConditioning,
  );
}

function pickWeights(weights: ModelWeights, ema: boolean): DeviceBuffer {
  return (ema ? weights.ema : undefined) ?? weights.parameters;
}

/** Weights of the network that guides, if there is a second one. */
function guideBuffers({ guidance, device, ema }: SamplingOptions): Record<string, DeviceBuffer> {
  if (guidance?.kind === 'autoguidance') return { guide: pickWeights(weightsOn(guidance.model, device), ema) };
  if (guidance?.kind === 'classifier') return { guide: pickWeights(weightsOn(guidance.network, device), ema) };
  return {};
}

/** x = signal * given + deviation * noise, and memory without anything in it. */
function compileBegin(device: Device, shape: readonly number[], buffers: Buffers): Program {
  const graph = new Graph();
  const stream = {
    seedLow: graph.scalar('seedLow'),
    seedHigh: graph.scalar('seedHigh'),
    sampleOffset: graph.scalar('sampleOffset'),
    step: 0,
  };
  const noise = randomNormal(graph, shape, { ...stream, purpose: Purpose.sampleStart });
  const external = (name: string): Value => graph.external(name, shape, name, 0);
  const given = buffers.given ? external('given') : fill(graph, shape, 0);
  blend(external('x'), { a: given, b: noise }, { alpha: graph.scalar('signal'), beta: graph.scalar('deviation') });
  for (const name of ['history', 'older', 'estimate']) {
    if (buffers[name])
      graph.emit({ kernel: 'fill', outputs: { y: external(name) }, inputs: {}, attributes: { value: 0 } });
  }
  return compile(graph, { device, buffers });
}

/** y = alpha a + beta b, in place or into memory of its own; the factors may change from run to run. */
function blend(
  into: Value | readonly number[],
  inputs: Readonly<Record<'a' | 'b', Value>>,
  attributes: { readonly alpha: Attribute; readonly beta: Attribute },
): Value {
  const { y } = inputs.a.graph.emit({ kernel: 'add', outputs: { y: into }, inputs: { ...inputs }, attributes });
  return y;
}

/** One step of sampling as a graph over the buffers `x`, `history`, `older`, `estimate`, `given`, `mask`, `parameters` and `guide`. */
function compileStep(
  options: SamplingOptions,
  shape: readonly number[],
  buffers: Buffers,
): Program<'prediction' | 'x0'> {
  const { device, plan, fetch, masked } = options;
  const graph = new Graph();
  const external = (name: string): Value | undefined =>
    buffers[name] ? graph.external(name, shape, name, 0) : undefined;
  const x = external('x') as Value;
  const known = external('estimate');
  const { prediction, variance } = predict(options, graph, x, known);
  const learned = plan.some((row) => row.logVariance !== undefined);
  if (learned && !variance) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      "variance 'learned-range' needs a network that predicts its variance, with twice the channels; this one has none",
    );
  }
  const [history, older] = [external('history'), external('older')];
  const scalar = (name: string): Attribute => graph.scalar(name);
  const estimate = estimateX0(plan, x, prediction);
  const update = samplerUpdate(
    {
      x,
      prediction: estimate.prediction,
      history,
      older,
      variance: learned ? variance : undefined,
      into: { xNext: masked ? undefined : x, x0: known, historyNext: history, olderNext: older },
    },
    {
      ...estimate.numbers,
      coefficientX: scalar('x'),
      coefficientX0: scalar('x0'),
      coefficientHistory: scalar('history'),
      coefficientOlder: scalar('older'),
      coefficientNoise: scalar('noise'),
      historyFromX: scalar('historyFromX'),
      historyFromX0: scalar('historyFromX0'),
      logVarianceLow: scalar('logVarianceLow'),
      logVarianceHigh: scalar('logVarianceHigh'),
      ...streamOf(graph),
    },
  );
  const next = addsPrediction(plan)
    ? blend(masked ? shape : x, { a: update.xNext, b: prediction }, { alpha: 1, beta: scalar('prediction') })
    : update.xNext;
  if (masked) keepGiven(graph, shape, { x, next, given: external('given'), mask: external('mask') });
  return compile(graph, { device, buffers, ...(fetch && { outputs: { prediction, x0: update.x0 } }) });
}

/** What the network says of x and its own last estimate of x0, guided if it is to be, and what it says of its variance. */
function predict(
  { model, guidance, plan }: SamplingOptions,
  graph: Graph,
  x: Value,
  known: Value | undefined,
): { prediction: Value; variance: Value | undefined } {
  const count = x.shape[0] ?? 1;
  const channels = x.shape.at(-1) ?? 1;
  const input = scalesInput(plan)
    ? graph.emit({
        kernel: 'scale',
        outputs: { y: x.shape },
        inputs: { x },
        attributes: { factor: graph.scalar('inputScale') },
      }).y
    : x;
  const t = fill(graph, [count], graph.scalar('told'));
  const labels = model.classes === null ? undefined : graph.input('labels', [count], 'i32');
  const ask = (network: Model, buffer: string, classes: Value | undefined): Value => {
    const parameters = parameterValues(graph, tableOf(network), buffer);
    const estimate = network.selfConditioning ? known : undefined;
    const parameter = (name: string): Value => parameters.get(name) as Value;
    return network.forward({ x: input, t, labels: classes, estimate, parameter });
  };
  const said = ask(model, 'parameters', labels);
  const first = (value: Value): Value => sliceChannels(value, 0, channels);
  const variance = said.shape.at(-1) === 2 * channels ? sliceChannels(said, channels, channels) : undefined;
  const own = first(said);
  if (!guidance) return { prediction: own, variance };

  const weight = graph.scalar('guidance');
  if (guidance.kind === 'classifier') {
    const slope = guidance.slope({ graph, x, t, labels: graph.input('guideLabels', [count], 'i32') });
    return { prediction: blend(own.shape, { a: own, b: slope }, { alpha: 1, beta: weight }), variance };
  }
  // other + w (own - other)
  const other =
    guidance.kind === 'class'
      ? first(ask(model, 'parameters', graph.input('nullLabels', [count], 'i32')))
      : first(ask(guidance.model, 'guide', guidance.model.classes === null ? undefined : labels));
  const attributes = { alpha: weight, beta: graph.scalar('guidanceRest') };
  return { prediction: blend(own.shape, { a: own, b: other }, attributes), variance };
}

/** The parameters of a model that has weights, as `weightsOn` has made sure. */
function tableOf(model: Model): ModelWeights['table'] {
  return (model.weights as ModelWeights).table;
}

/** Under the mask x' becomes the given samples at the noise level where the step ends. */
function keepGiven(
  graph: Graph,
  shape: readonly number[],
  { x, next, given, mask }: { x: Value; next: Value; given: Value | undefined; mask: Value | undefined },
): void {
  const noise = randomNormal(graph, shape, { ...streamOf(graph), purpose: Purpose.sampleGiven });
  const attributes = { alpha: graph.scalar('signalNext'), beta: graph.scalar('deviationNext') };
  const known = blend(shape, { a: given as Value, b: noise }, attributes);
  const kept = multiply(mask as Value, add(known, next, { beta: -1 }));
  blend(x, { a: next, b: kept }, { alpha: 1, beta: 1 });
}

function streamOf(graph: Graph): Record<'seedLow' | 'seedHigh' | 'step' | 'sampleOffset', Attribute> {
  return {
    seedLow: graph.scalar('seedLow'),
    seedHigh: graph.scalar('seedHigh'),
    step: graph.scalar('step'),
    sampleOffset: graph.scalar('sampleOffset'),
  };
}

/** A row as the numbers that its graph asks for. */
function stepScalars({ plan, masked }: SamplingOptions, row: SamplerStep): Record<string, number> {
  const { told, inputScale, x, x0, history, older, noise, historyFromX, historyFromX0 } = row;
  const { alphaBarNext, logVariance } = row;
  return {
    ...{ told, x, x0, history, older, noise, historyFromX, historyFromX0 },
    ...estimateScalars(plan, row),
    logVarianceLow: logVariance?.[0] ?? 0,
    logVarianceHigh: logVariance?.[1] ?? 0,
    ...(scalesInput(plan) && { inputScale }),
    ...(masked && { signalNext: Math.sqrt(alphaBarNext), deviationNext: Math.sqrt(1 - alphaBarNext) }),
  };
}

function scalesInput(plan: readonly SamplerStep[]): boolean {
  return plan.some((row) => row.inputScale !== 1);
}

function guidanceScalars(
  diffusion: Diffusion,
  guidance: Guidance | undefined,
  row: SamplerStep,
): Record<string, number> {
  if (!guidance) return {};
  if (guidance.kind !== 'classifier') return { guidance: guidance.weight, guidanceRest: 1 - guidance.weight };
  // The noise moves by -deviation times the slope; the prediction moves by what moves the noise so far.
  const deviation = Math.sqrt(1 - row.alphaBar);
  return { guidance: (-deviation * guidance.scale) / noiseFactors(diffusion, row).prediction };
}

function seedScalars(seed: number): Record<'seedLow' | 'seedHigh', number> {
  const [seedLow, seedHigh] = splitSeed(seed);
  return { seedLow, seedHigh };
}
