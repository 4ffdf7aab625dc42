import { type Schedule, snr } from '@diffuse/core';
import { curve } from '../terminal/curve.ts';
import { columns } from '../terminal/format.ts';

/** The noise level of one timestep, in the units that papers use. */
export interface LevelFacts {
  readonly t: number;
  readonly alphaBar: number;
  /** Infinity, which is null in JSON, where alphaBar is 0. */
  readonly sigma: number;
  /** Signal-to-noise ratio alphaBar / (1 - alphaBar). */
  readonly snr: number;
}

/** What `inspect` says of a schedule, for machines. */
export interface ScheduleFacts {
  /** A few timesteps from the first to the last. */
  readonly levels: readonly LevelFacts[];
  /** What is likely to be a mistake, one sentence each. */
  readonly warnings: readonly string[];
}

/** Where the levels of {@link ScheduleFacts} lie, as shares of the way to the last timestep. */
const shown = [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1];

/**
 * The way into a schedule by which an image must still outweigh the noise. The usual schedules get to a signal-to-noise ratio of 1
 * between a quarter (linear) and four fifths (edm) of the way; one that gets there in a seventh spends six of seven timesteps, in training
 * and in sampling, on images that are mostly noise, and has too few for their details.
 */
const EARLY = 1 / 7;

/**
 * The signal-to-noise ratio that the first timestep must have. The last step of sampling goes from there to the image, all at once: a
 * ratio of 5, a first beta of a sixth, hides what is finer than a sigma of 0.45. The usual schedules begin above 30 in 10 timesteps, and
 * above 1000 in 1000.
 */
const FIRST_SNR = 5;

/** Fewer timesteps than this have no room to begin with little noise. */
const FEWEST_STEPS = 4;

/**
 * The alphaBar above which the last timestep is not noise enough: sampling starts from N(0, I), but training has seen there the
 * image itself, by more than sqrt(0.01), a tenth of its contrast. What the start lacks, above all brightness, samples will lack.
 */
const LATE_ALPHA_BAR = 1e-2;

/** Levels and warnings of a schedule. */
export function scheduleFacts(schedule: Schedule): ScheduleFacts {
  const { steps } = schedule;
  const timesteps = new Set(shown.map((share) => Math.floor(share * (steps - 1))));
  return { levels: [...timesteps].map((t) => levelFacts(schedule, t)), warnings: scheduleWarnings(schedule) };
}

/** The schedule as text: its name, its curves, a few levels and the warnings. */
export function scheduleText(schedule: Schedule, predict: string | undefined, width: number): string {
  const { name, steps, parameters } = schedule;
  const { levels, warnings } = scheduleFacts(schedule);
  const entries = Object.entries(parameters).map(([key, value]) => `${key} ${value}`);
  const values = entries.length === 0 ? '' : ` (${entries.join(', ')})`;
  const rows = levels.map((level) => [
    level.t,
    shareText(level.alphaBar),
    level.sigma.toPrecision(4),
    decibels(level.snr).toFixed(1),
  ]);
  return [
    `schedule ${name}, ${steps} ${steps === 1 ? 'timestep' : 'timesteps'}${predict ? `, predicts ${predict}` : ''}${values}`,
    scheduleCurves(schedule, width),
    columns([['t', 'alphaBar', 'sigma', 'SNR in dB'], ...rows]),
    ...(warnings.length === 0 ? [] : [warnings.map((warning) => `warning: ${warning}`).join('\n')]),
  ].join('\n\n');
}

function scheduleWarnings(schedule: Schedule): readonly string[] {
  const { steps } = schedule;
  const early = levelFacts(schedule, Math.floor(EARLY * (steps - 1)));
  const [first, late] = [levelFacts(schedule, 0), levelFacts(schedule, steps - 1)];
  const warnings: string[] = [];
  if (early.snr < 1) {
    warnings.push(
      `the schedule destroys the image at the start: the signal-to-noise ratio is ${digits(early.snr)}, below 1, ` +
        `at timestep ${early.t} of ${steps} already; begin with less noise`,
    );
  } else if (steps >= FEWEST_STEPS && first.snr < FIRST_SNR) {
    warnings.push(
      `the schedule destroys the image at the start: the signal-to-noise ratio is ${digits(first.snr)}, below ${FIRST_SNR}, ` +
        'at the first timestep, from which sampling goes to the image in one step; begin with less noise',
    );
  }
  if (late.alphaBar > LATE_ALPHA_BAR) {
    warnings.push(
      `the schedule keeps signal at the end: alphaBar is ${digits(late.alphaBar)}, above ${LATE_ALPHA_BAR}, at the last ` +
        'timestep, but sampling starts from pure noise; end with more noise, or give zeroTerminalSnr=1',
    );
  }
  return warnings;
}

function levelFacts({ alphaBar, sigma }: Schedule, t: number): LevelFacts {
  const [share, level] = [alphaBar[t] as number, sigma[t] as number];
  return { t, alphaBar: share, sigma: level, snr: snr(share) };
}

const chartHeight = 8;

/** Where the curve of the signal-to-noise ratio ends: pure noise has none. */
const LOWEST_DECIBELS = -120;

/** alphaBar and the signal-to-noise ratio over the timesteps. */
function scheduleCurves({ alphaBar, steps }: Schedule, width: number): string {
  const ratios = alphaBar.map((value) => Math.max(decibels(snr(value)), LOWEST_DECIBELS));
  const axis = `t = 0${`t = ${steps - 1}`.padStart(Math.max(0, width - 5))}`;
  const draw = (title: string, values: Float64Array, format: (value: number) => string): string => {
    const labels = [format(values[0] as number), format(values[steps - 1] as number)] as const;
    const margin = Math.max(labels[0].length, labels[1].length) + 2;
    return `${title}\n${curve(values, { width, height: chartHeight, labels })}\n${' '.repeat(margin)}${axis}`;
  };
  return [
    draw('alphaBar, the share of the image in its variance', alphaBar, (value) => value.toFixed(2)),
    draw('signal-to-noise ratio in dB', ratios, (value) => `${value > LOWEST_DECIBELS ? '' : '<'}${value.toFixed(0)}`),
  ].join('\n\n');
}

/** Four digits; of what would be rounded to 1, as many as tell it from 1. */
function shareText(share: number): string {
  const rounded = share.toPrecision(4);
  if (Number(rounded) < 1) return rounded;
  return share.toFixed(Math.min(16, 1 - Math.floor(Math.log10(1 - share))));
}

function decibels(ratio: number): number {
  return 10 * Math.log10(ratio);
}

function digits(value: number): string {
  return String(Number(value.toPrecision(4)));
}
