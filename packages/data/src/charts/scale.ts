import { DiffuseError } from '@diffuse/core';

/** How values become places along an axis. */
export type ScaleName = 'linear' | 'log';

/** One axis of a chart: where values lie on it and where its ticks are. */
export interface Scale {
  readonly name: ScaleName;
  /** The values at the two ends, the lower first. */
  readonly domain: readonly [low: number, high: number];
  /** Share of the way from the low to the high end: 0 … 1 inside the domain; NaN for values that have no place. */
  position(value: number): number;
  /** Values with a label. */
  readonly ticks: readonly number[];
  /** Values with a mark but no label. */
  readonly minorTicks: readonly number[];
  /** How a tick is labelled. */
  format(value: number): string;
}

/** What {@link createScale} is made from. */
export interface ScaleOptions {
  readonly name: ScaleName;
  /** Values that the scale must hold; those that are not finite, or not above 0 on a log scale, do not count. */
  readonly extent: readonly [low: number, high: number];
  /** Fixed ends instead of those that follow from the values. */
  readonly domain?: readonly [low: number, high: number] | undefined;
  /** How many labels there is room for: a wish, or the values themselves. */
  readonly ticks?: number | readonly number[] | undefined;
  /** Whether the ends of a linear scale move outwards to ticks. Default false. */
  readonly nice?: boolean;
  readonly format?: ((value: number) => string) | undefined;
}

/**
 * Makes a scale with round ticks.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for a domain that is empty, reversed, not finite, or not above 0 on a log scale.
 */
export function createScale(options: ScaleOptions): Scale {
  const { name, domain, ticks: wish = 5, nice = false } = options;
  if (domain) checkDomain(name, domain);
  const wanted = typeof wish === 'number' ? wish : 5;
  const [low, high] = domain ?? spread(name, options.extent);
  const ends = domain || !nice || name === 'log' ? ([low, high] as const) : linearTicks(low, high, wanted).outwards;
  const inside = (value: number): boolean => value >= ends[0] && value <= ends[1];
  const { ticks, minorTicks, format } = name === 'log' ? logTicks(...ends, wanted) : linearTicks(...ends, wanted);
  const along = name === 'log' ? Math.log10 : (value: number): number => value;
  const [from, to] = [along(ends[0]), along(ends[1])];
  return {
    name,
    domain: ends,
    position: (value) => (name === 'log' && !(value > 0) ? Number.NaN : (along(value) - from) / (to - from)),
    ticks: typeof wish === 'number' ? ticks : wish.filter(inside),
    minorTicks: typeof wish === 'number' ? minorTicks : [],
    format: options.format ?? format,
  };
}

/** Lowest and highest of the values that a scale can show; [Infinity, -Infinity] if there are none. */
export function extentOf(name: ScaleName, arrays: Iterable<ArrayLike<number>>): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const values of arrays) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      if (!Number.isFinite(value) || (name === 'log' && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high];
}

function checkDomain(name: ScaleName, [low, high]: readonly [number, number]): void {
  const fits = Number.isFinite(low) && Number.isFinite(high) && low < high && (name === 'linear' || low > 0);
  if (fits) return;
  const rule = name === 'log' ? 'two finite numbers above 0' : 'two finite numbers';
  throw new DiffuseError('ERR_ARGUMENT', `a domain must be ${rule}, the lower first; got [${low}, ${high}]`);
}

/** The extent, widened where it is a single value, so that there is an axis to draw. */
function spread(name: ScaleName, [low, high]: readonly [number, number]): readonly [number, number] {
  if (low > high) return name === 'log' ? [0.1, 10] : [0, 1];
  if (name === 'log' && high / low > 1 + 1e-9) return [low, high];
  if (name === 'log') return [Math.max(low / 2, Number.MIN_VALUE), Math.min(high * 2, Number.MAX_VALUE)];
  // Below this width, float64 has too few numbers between the ends for ticks.
  if (high - low > Math.max(Math.abs(low), Math.abs(high)) * 1e-9) return [low, high];
  const half = low === 0 ? 1 : Math.abs(low) / 2;
  return [low - half, high + half];
}

interface Ticks {
  readonly ticks: readonly number[];
  readonly minorTicks: readonly number[];
  format(value: number): string;
}

/** Multiples of 1, 2, 2.5 or 5 times a power of ten. */
function linearTicks(
  low: number,
  high: number,
  wanted: number,
): Ticks & { readonly outwards: readonly [low: number, high: number] } {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10);
  // A tick that misses an end by rounding alone is on it.
  const slack = 1e-9;
  const first = Math.ceil(low / step - slack);
  const last = Math.floor(high / step + slack);
  const exponent = Math.floor(Math.log10(step) + slack);
  const isQuarter = Math.abs(step / 10 ** exponent - 2.5) < 1e-6;
  const decimals = Math.max(0, -exponent + (isQuarter ? 1 : 0));
  const multiple = (k: number): number =>
    decimals > 0 && decimals <= 20 ? Number((k * step).toFixed(decimals)) : k * step;
  const largest = Math.max(Math.abs(low), Math.abs(high));
  return {
    ticks: Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => multiple(first + i)),
    minorTicks: [],
    outwards: [multiple(Math.floor(low / step + slack)), multiple(Math.ceil(high / step - slack))],
    format: (value) =>
      largest >= 1e6 || largest < 1e-4 ? scientific(value, exponent) : grouped(value.toFixed(Math.min(20, decimals))),
  };
}

/** Powers of ten; within fewer than two of them also their multiples. */
function logTicks(low: number, high: number, wanted: number): Ticks {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const slack = 1e-9;
  const decades = to - from;
  if (decades < 0.6) return linearTicks(low, high, wanted);
  const every = Math.max(1, Math.ceil(decades / Math.max(1, wanted)));
  const powers = (step: number): number[] => {
    const first = Math.ceil((from - slack) / step) * step;
    const count = Math.max(0, Math.floor((to + slack - first) / step) + 1);
    return Array.from({ length: count }, (_, i) => power(first + i * step));
  };
  const multiplesOf = (factors: readonly number[]): number[] =>
    Array.from({ length: Math.ceil(decades) + 2 }, (_, i) => power(Math.floor(from) + i))
      .flatMap((decade) => factors.map((factor) => Number((factor * decade).toPrecision(12))))
      .filter((value) => value >= low * (1 - slack) && value <= high * (1 + slack));
  const ticks = decades < 2 ? multiplesOf([1, 2, 5]) : powers(every);
  const all = decades < 2 || every === 1 ? (decades <= 5 ? multiplesOf([1, 2, 3, 4, 5, 6, 7, 8, 9]) : []) : powers(1);
  const exponents = ticks.map((value) => Math.floor(Math.log10(value) + slack));
  const isPlain = exponents.every((exponent) => exponent >= -3 && exponent <= 4);
  return {
    ticks,
    minorTicks: all.filter((value) => !ticks.some((tick) => Math.abs(tick / value - 1) < slack)),
    format: (value) =>
      isPlain
        ? grouped(String(Number(value.toPrecision(6))))
        : scientific(value, Math.floor(Math.log10(value) + slack)),
  };
}

/** 10^exponent as the literal has it: `10 ** -3` is not 0.001 everywhere. */
function power(exponent: number): number {
  return Number(`1e${exponent}`);
}

const raisedDigits = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** `10⁻³`, `2.5×10⁶`; in multiples of 10^exponent. */
function scientific(value: number, exponent: number): string {
  if (value === 0) return '0';
  if (exponent === 0 || exponent === 1) return grouped(String(Number(value.toPrecision(6))));
  const raised = String(Math.abs(exponent)).replace(/\d/g, (digit) => raisedDigits[Number(digit)] as string);
  const tens = `10${exponent < 0 ? '⁻' : ''}${raised}`;
  const factor = grouped(String(Number((value / 10 ** exponent).toPrecision(6))));
  return factor === '1' ? tens : factor === '−1' ? `−${tens}` : `${factor}×${tens}`;
}

/** Commas between thousands, and a minus as wide as a plus. */
function grouped(digits: string): string {
  const [whole = '', fraction] = digits.replace('-', '−').split('.');
  const withCommas = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? withCommas : `${withCommas}.${fraction}`;
}
