import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chartGrid, type LineChartOptions } from '@diffuse/data';
import { messageOf, usageError } from '../failure.ts';
import type { PlotFlags } from '../settings/plot-settings.ts';

/** A line of `metrics.jsonl`. */
interface Metric {
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
}

/** A noise level of what `diffuse evaluate --json` writes as `lossByLevel`. */
interface LevelLoss {
  readonly sigma: number;
  readonly loss: number;
  /** The least that any network can reach, where it is known. */
  readonly floor?: number;
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
    ...(levels === undefined ? [] : [levelChart(await readLevels(levels))]),
  ];
  return chartGrid({ charts, columns: 1 });
}

const width = 680;
/** For the labels of all charts, so that their steps are one above the other. */
const room = 52;

function trainingCharts(metrics: readonly Metric[], smooth: number | undefined): LineChartOptions[] {
  const x = metrics.map(({ step }) => step);
  const loss = metrics.map((metric) => metric.loss);
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
        { x, y: movingMean(loss, window), colour: 0 },
      ],
    },
    {
      title: 'Learning rate',
      x: { label: 'step' },
      y: { room },
      width,
      height: 190,
      series: [{ x, y: metrics.map(({ learningRate }) => learningRate), colour: 1 }],
    },
  ];
}

/** The mean of `window` values around each, fewer at the ends: it follows a curve without lagging behind. */
export function movingMean(values: readonly number[], window: number): number[] {
  const sums = [0];
  for (const value of values) sums.push((sums.at(-1) as number) + (Number.isFinite(value) ? value : 0));
  return values.map((_, i) => {
    const half = Math.min(window / 2, i + 0.5, values.length - i - 0.5);
    const [from, to] = [Math.ceil(i + 0.5 - half), Math.floor(i + 0.5 + half)];
    return ((sums[to] as number) - (sums[from] as number)) / (to - from);
  });
}

function levelChart(levels: readonly LevelLoss[]): LineChartOptions {
  const x = levels.map(({ sigma }) => sigma);
  const floors = levels.some(({ floor }) => floor !== undefined);
  return {
    title: 'Loss by noise level',
    x: { label: 'sigma', scale: 'log' },
    y: { scale: 'log', room },
    width,
    height: 340,
    series: [
      { label: 'the model', x, y: levels.map(({ loss }) => loss), dots: levels.length <= 60, colour: 0 },
      ...(floors
        ? [
            {
              label: 'no network can do better',
              x,
              y: levels.map(({ floor = Number.NaN }) => floor),
              dashed: true,
              colour: 1,
            },
          ]
        : []),
    ],
  };
}

/** @throws Failure for a missing or broken log, or one without lines. */
async function readMetrics(path: string): Promise<readonly Metric[]> {
  const metrics: Metric[] = [];
  for (const [i, line] of (await readText(path, '--model')).split('\n').entries()) {
    if (line.trim() === '') continue;
    const metric = parsed(line, `${path}:${i + 1}`) as Partial<Metric>;
    const { step, loss, learningRate } = metric ?? {};
    if (typeof step !== 'number' || typeof learningRate !== 'number') {
      throw usageError(`${path}:${i + 1} must have step, loss and learningRate; got ${line.slice(0, 80)}`);
    }
    // JSON has no NaN: a loss that was none is written as null.
    metrics.push({ step, loss: typeof loss === 'number' ? loss : Number.NaN, learningRate });
  }
  if (metrics.length === 0) throw usageError(`${path} has no steps yet`);
  return metrics;
}

/** Finds `lossByLevel` in a JSON document or in a file of JSON lines. @throws Failure where it is not. */
async function readLevels(path: string): Promise<readonly LevelLoss[]> {
  const source = await readText(path, '--levels');
  const lines = source.trimStart().startsWith('{') && !isJson(source) ? source.split('\n') : [source];
  for (const line of lines) {
    if (line.trim() === '') continue;
    const document = parsed(line, path) as { readonly lossByLevel?: unknown } | null;
    const found = Array.isArray(document) ? document : document?.lossByLevel;
    if (Array.isArray(found)) return found.map((level, i) => checkLevel(level, `${path}: lossByLevel[${i}]`));
  }
  throw usageError(`--levels: ${path} has no lossByLevel; diffuse evaluate --json writes it`);
}

function checkLevel(level: unknown, where: string): LevelLoss {
  const { sigma, loss, floor } = (level ?? {}) as Partial<LevelLoss>;
  if (typeof sigma === 'number' && typeof loss === 'number') {
    return { sigma, loss, ...(typeof floor === 'number' && { floor }) };
  }
  throw usageError(`${where} must have the numbers sigma and loss; got ${JSON.stringify(level)}`);
}

async function readText(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw usageError(`${flag}: cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function isJson(source: string): boolean {
  try {
    JSON.parse(source);
    return true;
  } catch {
    return false;
  }
}

function parsed(source: string, where: string): unknown {
  try {
    return JSON.parse(source);
  } catch (error) {
    throw usageError(`${where} is not valid JSON: ${messageOf(error)}`, { cause: error });
  }
}
