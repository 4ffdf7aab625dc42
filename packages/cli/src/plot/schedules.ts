import { join } from 'node:path';
import { type Schedule, type ScheduleName, snr } from '@diffuse/core';
import { type Axis, type ChartGridOptions, chartGrid, type LineChartOptions, lineChart } from '@diffuse/data';
import { usageError } from '../failure.ts';
import type { PlotFlags } from '../settings/plot-settings.ts';
import { buildSchedule, lengthOf } from '../settings/schedule-choice.ts';

/**
 * The schedules that the flags ask for: by name, or that of a run.
 *
 * @param defaults names to draw when the flags say nothing.
 * @throws Failure for flags that exclude each other or a folder that is no run; DiffuseError `ERR_ARGUMENT` for bad options.
 */
export async function schedulesFrom(
  { schedule: asked, scheduleOptions, timesteps, model }: PlotFlags,
  defaults: readonly ScheduleName[] = ['linear', 'cosine'],
): Promise<readonly Schedule[]> {
  if (model === undefined) {
    const chosen = asked ?? defaults;
    const own = chosen.find((each) => typeof each === 'object');
    // Beside a file the schedules that have a name are as long as it is.
    const steps = timesteps ?? (own && lengthOf(own.arrays));
    return sameLength(
      chosen.map((schedule) =>
        buildSchedule({ schedule, scheduleOptions, timesteps: typeof schedule === 'string' ? steps : timesteps }),
      ),
    );
  }
  for (const [flag, value] of Object.entries({ schedule: asked, 'schedule-options': scheduleOptions, timesteps })) {
    if (value !== undefined) throw usageError(`--model has a schedule already; leave --${flag} out`);
  }
  const { readConfig } = await import('../settings/config-file.ts');
  const { resolveSettings } = await import('../settings/resolve.ts');
  const path = join(model, 'config.yaml');
  const { settings } = resolveSettings({ settings: {} }, await readConfig(path));
  return [buildSchedule(settings)];
}

/** @throws Failure for schedules that cannot be drawn over the same timesteps. */
function sameLength(schedules: readonly Schedule[]): readonly Schedule[] {
  const [first] = schedules;
  const other = schedules.find(({ steps }) => steps !== first?.steps);
  if (!first || !other) return schedules;
  throw usageError(
    `--schedule: ${first.name} has ${first.steps} timesteps and ${other.name} ${other.steps}; one picture shows as many of each`,
  );
}

/** One schedule, for pictures that show no more. */
export async function scheduleFrom(flags: PlotFlags): Promise<Schedule> {
  const [schedule, ...others] = await schedulesFrom(flags, ['linear']);
  if (schedule === undefined || others.length > 0) {
    throw usageError(`plot ${flags.kind} shows one schedule; got ${flags.schedule?.length} in --schedule`);
  }
  return schedule;
}

/** `linear schedule, 1000 timesteps`, or the number alone for several. */
export function subtitleOf(schedules: readonly Schedule[]): string {
  const [first] = schedules;
  const steps = first?.steps === 1 ? '1 timestep' : `${first?.steps} timesteps`;
  return schedules.length === 1 ? `${first?.name} schedule, ${steps}` : steps;
}

/** Whole numbers from `start`. */
export function counting(count: number, start = 0): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => start + i);
}

/**
 * The axis of timesteps: round numbers from 0, and the last timestep.
 *
 * @param wanted about how many numbers there is room for.
 */
function timestepAxis([first]: readonly Schedule[], wanted: number): Axis {
  const last = (first?.steps ?? 1) - 1;
  const rough = Math.max(1, last / wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  // A number that would touch the last one makes room for it.
  const count = Math.max(last === 0 ? 0 : 1, Math.ceil((last - step / 2) / step));
  const ticks = [...Array.from({ length: count }, (_, i) => i * step), last];
  return { label: 'timestep t', ticks, format: (value) => value.toLocaleString('en') };
}

const panel = { width: 340, height: 300 } as const;

/** One panel a quantity, one line a schedule. */
export function panels(
  title: string,
  schedules: readonly Schedule[],
  charts: readonly (Omit<LineChartOptions, 'series'> & { readonly of: (schedule: Schedule) => ArrayLike<number> })[],
  start = 0,
): string {
  const options: ChartGridOptions = {
    title,
    subtitle: subtitleOf(schedules),
    charts: charts.map(({ of, ...chart }) => ({
      ...panel,
      ...chart,
      series: schedules.map((schedule) => ({
        label: schedule.name,
        x: counting(schedule.steps, start),
        y: of(schedule),
      })),
    })),
    sharedKey: schedules.length > 1,
  };
  // A single schedule has its name in the subtitle.
  return chartGrid(
    schedules.length > 1
      ? options
      : { ...options, charts: options.charts.map((chart) => ({ ...chart, names: 'none' })) },
  );
}

/** `plot schedule`: alphaBar, beta and sigma. */
export async function drawSchedules(flags: PlotFlags): Promise<string> {
  const schedules = await schedulesFrom(flags);
  const x = timestepAxis(schedules, 5);
  return panels('Noise schedules', schedules, [
    { subtitle: 'alphaBar: the share of the image in the variance', x, y: { domain: [0, 1] }, of: (s) => s.alphaBar },
    { subtitle: 'beta: the variance that a step adds', x, y: { scale: 'log' }, of: (s) => s.beta },
    { subtitle: 'sigma: the noise beside an image of scale 1', x, y: { scale: 'log' }, of: (s) => s.sigma },
  ]);
}

/** `plot snr`: the signal-to-noise ratio, on a log scale. */
export async function drawSnr(flags: PlotFlags): Promise<string> {
  const schedules = await schedulesFrom(flags);
  return lineChart({
    title: 'Signal-to-noise ratio',
    subtitle: subtitleOf(schedules),
    x: timestepAxis(schedules, 8),
    y: { label: 'alphaBar / (1 − alphaBar)', scale: 'log' },
    series: schedules.map((schedule) => ({
      ...(schedules.length > 1 && { label: schedule.name }),
      y: schedule.alphaBar.map(snr),
    })),
    annotations: [{ y: 1, text: 'as much noise as image' }],
  });
}
