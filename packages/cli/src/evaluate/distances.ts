import {
  evaluateImages,
  type FeatureNetwork,
  type ImageEvaluation,
  type ImageMetric,
  type ImageSource,
  type KernelDistance,
} from '@diffuse/core';
import { columns } from '../terminal/format.ts';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';

/** What {@link evaluateDistances} compares. */
export interface DistanceOptions {
  readonly real: ImageSource;
  readonly generated: ImageSource;
  readonly network: FeatureNetwork;
  readonly metrics: readonly ImageMetric[] | undefined;
  readonly batchSize: number | undefined;
  readonly seed: number | undefined;
  readonly signal: AbortSignal;
}

const tasks = { real: 'looking at real', generated: 'looking at generated', distances: 'comparing' } as const;

/** Compares generated with real images, with progress; returns a table for people. */
export async function evaluateDistances(options: DistanceOptions, report: Report): Promise<string> {
  const { metrics, batchSize, seed, ...others } = options;
  let progress: Progress | undefined;
  let phase: keyof typeof tasks | undefined;
  const evaluation = await evaluateImages({
    ...others,
    ...(metrics !== undefined && { metrics }),
    ...(batchSize !== undefined && { batchSize }),
    ...(seed !== undefined && { seed }),
    onProgress({ phase: current, done, total = 0 }) {
      if (current !== phase) progress = report.progress(tasks[current], total);
      phase = current;
      progress?.update(done);
      report.event('progress', { phase, done, total });
    },
  }).finally(() => progress?.end());
  for (const warning of evaluation.warnings) report.warn(warning);
  report.event('distances', { ...evaluation });
  return columns(distanceRows(evaluation));
}

function distanceRows(evaluation: ImageEvaluation): string[][] {
  const { frechetDistance: fid, kernelDistance: kid, inceptionScore: score, precisionRecall: shares } = evaluation;
  const { realCount, generatedCount, network, dimensions } = evaluation;
  return [
    ['images', `${generatedCount} generated, ${realCount} real; ${dimensions} features of ${network}`],
    ...(fid !== undefined ? [['FID', fid.toPrecision(6)]] : []),
    ...(kid ? [['KID', kernelText(kid)]] : []),
    ...(score ? [['IS', `${score.mean.toFixed(3)} ± ${score.deviation.toFixed(3)}, ${score.splits} splits`]] : []),
    ...(shares
      ? (['precision', 'recall', 'density', 'coverage'] as const).map((name) => [name, shares[name].toFixed(4)])
      : []),
  ];
}

function kernelText({ mean, deviation, subsets, subsetSize }: KernelDistance): string {
  const spread = subsets > 1 ? ` ± ${deviation.toPrecision(3)}, ${subsets} subsets` : ', 1 subset';
  return `${mean.toPrecision(4)}${spread} of ${subsetSize}`;
}
