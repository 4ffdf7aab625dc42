import { chartGrid, type LineChartOptions, movingMean, type Series } from '@diffuse/data';
import { mean, runsOf } from './convergence.ts';
import { modes, reference } from './modes.ts';
import type { TrainedRun } from './run-store.ts';

const width = 680;
/** For the labels of both charts, so that their steps are one above the other. */
const room = 52;

/**
 * The loss of each mode over the steps, and how far it is from that of the reference with the same seed: a colour a mode, the mean of
 * the seeds strong, each of them faint.
 *
 * @param window steps over which losses are averaged.
 */
export function convergencePicture(runs: readonly TrainedRun[], window: number): string {
  const smoothed = new Map(modes.map((mode) => [mode, runsOf(mode, runs).map(({ loss }) => movingMean(loss, window))]));
  const expected = smoothed.get(reference) ?? [];
  const differences = new Map(
    modes.map((mode) => [mode, (smoothed.get(mode) ?? []).map((loss, i) => percentOff(loss, expected[i] ?? []))]),
  );
  const seeds = runsOf(reference, runs)
    .map(({ seed }) => seed)
    .join(', ');
  const common = { x: { label: 'step' }, width };
  const loss: LineChartOptions = {
    ...common,
    title: 'Loss while training on MNIST, by number format',
    subtitle: `mean of ${window} steps; faint: each of the seeds ${seeds}, strong: their mean`,
    y: { scale: 'log', room },
    height: 340,
    series: curves(smoothed),
    names: 'key',
  };
  const difference: LineChartOptions = {
    ...common,
    title: 'Off the direct sum in float32, in %',
    y: { room },
    height: 280,
    series: curves(differences),
    names: 'none',
  };
  return chartGrid({ charts: [loss, difference], columns: 1 });
}

function percentOff(loss: readonly number[], expected: readonly number[]): number[] {
  return loss.map((value, i) => 100 * (value / (expected[i] ?? Number.NaN) - 1));
}

/** All faint curves first, so that none lies on a strong one. */
function curves(byMode: ReadonlyMap<(typeof modes)[number], readonly (readonly number[])[]>): Series[] {
  const entries = modes.map((mode, colour) => ({ label: mode.name, colour, seeds: byMode.get(mode) ?? [] }));
  return [
    ...entries.flatMap(({ colour, seeds }) => seeds.map((y) => ({ y, colour, faint: true }))),
    ...entries.map(({ label, colour, seeds }) => ({ label, colour, y: meanCurve(seeds) })),
  ];
}

function meanCurve(seeds: readonly (readonly number[])[]): number[] {
  return (seeds[0] ?? []).map((_, i) => mean(seeds.map((curve) => curve[i] ?? Number.NaN)));
}
