import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Axis, chartGrid, type LineChartOptions, movingMean } from '@diffuse/data';
import { messageOf, usageError } from '../failure.ts';
import type { PlotFlags } from '../settings/plot-settings.ts';

/** A line of `metrics.jsonl`. */
interface Metric {
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
}

/** What `metrics.jsonl` says of a run. */
interface RunMetrics {
  readonly steps: readonly Metric[];
  /** The loss that evaluations found while training, where they looked at it. */
  readonly evaluations: readonly { readonly step: number; readonly loss: number }[];
}

/** A noise level of the event `loss-by-level`, which `diffuse evaluate --json` writes. */
interface Level {
  /** Infinity where only noise is left, which JSON writes as null. */
  readonly sigma: number | null;
  /** Mean squared errors of the noise and of the estimate of x0. */
  readonly eps: { readonly mean: number };
  readonly x0: { readonly mean: number };
  /** The least that any network can reach, where it is known. */
  readonly floor?: number | null;
}

/**
 * `plot loss`: how the loss of a run fell, its learning rate, and the loss by noise level.
 *
 * @throws Failure without a run or levels, or for files that cannot be read.
 */
export async function drawLoss({ model, levels, smooth }: PlotFlags): Promise<string> {
  if (model === undefined && levels === undefined) {
    throw usageError('plot loss needs --model DIR, the folder of a run, or --levels FILE, or both');
  }
  const charts = [
    ...(model === undefined ? [] : trainingCharts(await readMetrics(join(model, 'metrics.jsonl')), smooth)),
    ...(levels === undefined ? [] : levelCharts(await readLevels(levels))),
  ];
  return chartGrid({ charts, columns: 1 });
}

const width = 680;
/** For the labels of all charts, so that their steps are one above the other. */
const room = 52;

function trainingCharts({ steps, evaluations }: RunMetrics, smooth: number | undefined): LineChartOptions[] {
  const x = steps.map(({ step }) => step);
  const loss = steps.map((metric) => metric.loss);
  const judged = {
    label: 'evaluation',
    x: evaluations.map(({ step }) => step),
    y: evaluations.map((evaluation) => evaluation.loss),
    dots: evaluations.length <= 60,
    colour: 3,
  };
  const window = Math.min(loss.length, smooth ?? Math.max(1, Math.round(loss.length / 30)));
  const averaged = window === 1 ? 'every step' : `every step, and the mean of ${window} steps`;
  return [
    {
      title: 'Loss',
      subtitle: averaged,
      x: { label: 'step' },
      y: { scale: 'log', room },
      width,
      height: 340,
      series: [
        { x, y: loss, colour: 0, faint: window > 1 },
        { x, y: movingMean(loss, window), colour: 0, ...(evaluations.length > 0 && { label: 'training' }) },
        ...(evaluations.length > 0 ? [judged] : []),
      ],
      // Beside the ends of lines, names would narrow this chart and not the one below.
      names: 'key',
    },
    {
      title: 'Learning rate',
      x: { label: 'step' },
      y: { room },
      width,
      height: 190,
      series: [{ x, y: steps.map(({ learningRate }) => learningRate), colour: 1 }],
    },
  ];
}

/** Beyond this noise level nothing of an image is seen: the error of the noise falls by orders of magnitude and would hide all others. */
const largestSigma = 200;

/** The error of the noise, which tells most where there is little of it, and that of x0, which tells most where there is much. */
function levelCharts(levels: readonly Level[]): LineChartOptions[] {
  const shown = levels.filter(({ sigma }) => sigma !== null && sigma <= largestSigma);
  if (shown.length === 0) throw usageError(`--levels: no noise level is below sigma ${largestSigma}`);
  const sigmas = shown.map(({ sigma }) => sigma ?? Number.NaN);
  const floors = shown.map(({ floor }) => floor ?? Number.NaN);
  const hasFloor = floors.some(Number.isFinite);
  const chart = (subtitle: string, errors: readonly number[], leasts: readonly number[]): LineChartOptions => ({
    subtitle,
    x: { label: 'sigma', scale: 'log' },
    y: { scale: 'log', room, ...around(errors) },
    width,
    height: 300,
    series: [
      { label: 'the model', x: sigmas, y: errors, dots: shown.length <= 60, colour: 0 },
      ...(hasFloor ? [{ label: 'the floor', x: sigmas, y: leasts, dashed: true, colour: 1 }] : []),
    ],
  });
  const ofEps = shown.map(({ eps }) => eps.mean);
  const ofX0 = shown.map(({ x0 }) => x0.mean);
  // x0 = x - sigma eps in the variance-exploding view, so errors of x0 are sigma^2 times those of eps.
  const floorsOfX0 = floors.map((floor, i) => floor * (sigmas[i] as number) ** 2);
  return [
    {
      title: 'Loss by noise level',
      ...chart('mean squared error of the predicted noise; always saying 0 reaches 1', ofEps, floors),
    },
    chart('mean squared error of the estimate of x₀', ofX0, floorsOfX0),
  ];
}

/** A floor that is orders of magnitude below the model is as good as 0, and would squeeze all else to a line: it ends at the edge. */
function around(errors: readonly number[]): Pick<Axis, 'domain'> {
  const shown = errors.filter((error) => error > 0);
  return shown.length === 0 ? {} : { domain: [Math.min(...shown) / 10, Math.max(...shown) * 1.5] };
}

/** @throws Failure for a missing or broken log, or one without lines. */
async function readMetrics(path: string): Promise<RunMetrics> {
  const steps: Metric[] = [];
  const evaluations: { step: number; loss: number }[] = [];
  for (const [i, line] of (await readText(path, '--model')).split('\n').entries()) {
    if (line.trim() === '') continue;
    const metric = parsed(line, `${path}:${i + 1}`) as (Partial<Metric> & { evaluation?: Partial<Metric> }) | null;
    const { step, loss, learningRate, evaluation } = metric ?? {};
    if (typeof step === 'number' && evaluation) {
      if (typeof evaluation.loss === 'number') evaluations.push({ step, loss: evaluation.loss });
      continue;
    }
    if (typeof step !== 'number' || typeof learningRate !== 'number') {
      throw usageError(`${path}:${i + 1} must have step, loss and learningRate; got ${line.slice(0, 80)}`);
    }
    // JSON has no NaN: a loss that was none is written as null.
    steps.push({ step, loss: typeof loss === 'number' ? loss : Number.NaN, learningRate });
  }
  if (steps.length === 0) throw usageError(`${path} has no steps yet`);
  return { steps, evaluations };
}

/** Finds the event `loss-by-level` among lines of JSON. @throws Failure where it is not. */
async function readLevels(path: string): Promise<readonly Level[]> {
  for (const [i, line] of (await readText(path, '--levels')).split('\n').entries()) {
    if (line.trim() === '') continue;
    const event = parsed(line, `${path}:${i + 1}`) as { readonly event?: unknown; readonly levels?: unknown } | null;
    if (event?.event !== 'loss-by-level' || !Array.isArray(event.levels)) continue;
    return event.levels.map((level, k) => checkLevel(level, `${path}:${i + 1}: levels[${k}]`));
  }
  throw usageError(`--levels: ${path} has no event loss-by-level; diffuse evaluate --json writes it`);
}

function checkLevel(level: unknown, where: string): Level {
  const { sigma, eps, x0 } = (level ?? {}) as Partial<Level>;
  const isSigma = typeof sigma === 'number' || sigma === null;
  if (isSigma && typeof eps?.mean === 'number' && typeof x0?.mean === 'number') return level as Level;
  throw usageError(`${where} must have sigma, eps.mean and x0.mean; got ${JSON.stringify(level).slice(0, 80)}`);
}

async function readText(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw usageError(`${flag}: cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function parsed(source: string, where: string): unknown {
  try {
    return JSON.parse(source);
  } catch (error) {
    throw usageError(`${where} is not valid JSON: ${messageOf(error)}`, { cause: error });
  }
}
