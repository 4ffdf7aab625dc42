import type { Precision } from './precision.ts';

/** What a number must be. */
export type Bound = { readonly atLeast: number } | { readonly atMost: number };

/** A number that was asked for, what it is, and whether it holds. */
export interface Goal {
  readonly name: string;
  readonly value: number;
  readonly better: 'lower' | 'higher';
  readonly limit: number;
  readonly holds: boolean;
}

/** Holds a value against its bound. */
export function goal(name: string, value: number, bound: Bound): Goal {
  if ('atLeast' in bound) {
    return { name, value, better: 'higher', limit: bound.atLeast, holds: value >= bound.atLeast };
  }
  return { name, value, better: 'lower', limit: bound.atMost, holds: value <= bound.atMost };
}

/** The conditions of a run that decide what is asked. */
export interface Conditions {
  readonly precision: Precision;
  /** `isa` is the instruction set that both sides are held to, if they are. */
  readonly device: { readonly isa?: string; readonly kind?: string };
}

/** Least ratio of the peer's time to ours, by precision, and with both sides held to AVX2. */
type Ratios = Readonly<Partial<Record<Precision | 'avx2', number>>>;

const ratios = {
  'train-step S': { fp32: 2.5, bf16: 1.8, 'bf16-fast': 1.8 },
  'train-step M': { fp32: 2.5, bf16: 1.8, 'bf16-fast': 2.2, avx2: 2 },
  'train-step L': { fp32: 2.5, bf16: 1.8, 'bf16-fast': 2.2 },
  'sample M, batch 16': { fp32: 2.75, bf16: 1.8, 'bf16-fast': 1.8 },
  'sample L, batch 16': { fp32: 2.75, bf16: 1.8, 'bf16-fast': 1.8 },
  'sample M, batch 1': { fp32: 2.5 },
  'forward S': { fp32: 2.5 },
  'forward M': { fp32: 2.5 },
  'conv2d forward': { fp32: 3.3 },
  'conv2d data gradient': { fp32: 3 },
  'conv2d weight gradient': { fp32: 3 },
  'conv2d 8x8': { fp32: 2.5 },
  'resnet-block': { fp32: 3 },
  'resnet-block 8x8': { fp32: 2.6 },
  'attention forward and backward': { fp32: 1.5, bf16: 1.2, 'bf16-fast': 1.2 },
  update: { fp32: 1.6 },
  startup: { fp32: 15 },
} as const satisfies Readonly<Record<string, Ratios>>;

/** How much faster than the best variant of the peer something must be on the CPU; undefined where nothing is asked. */
export function askedRatio(subject: string, { precision, device }: Conditions): Bound | undefined {
  if ((device.kind ?? 'cpu') !== 'cpu') return undefined;
  const asked: Ratios | undefined = (ratios as Readonly<Record<string, Ratios>>)[subject];
  const atLeast = asked?.[device.isa === undefined ? precision : (device.isa as 'avx2')];
  return atLeast === undefined ? undefined : { atLeast };
}

/** Other numbers that are asked for. */
export const askedBounds = {
  /** Memory of a process that trains L over the peer's. */
  memory: { fp32: { atMost: 0.5 }, bf16: { atMost: 0.4 }, 'bf16-fast': { atMost: 0.4 } },
  /** Relative difference of the loss at the end of training from that of the direct sum in float32. */
  convergence: { atMost: 0.01 },
  /** Time of the change of the weights over the time that memory alone takes. */
  updateOverFloor: { atMost: 1.2 },
  /** Milliseconds from the start of a process to the end of the first step. */
  firstSamplingStep: { atMost: 300 },
  firstTrainingStep: { atMost: 1500 },
  /** Time with one thread over time with two. */
  twoThreads: { atLeast: 1.85 },
  /** Time per image at batch 64 over that at batch 8, or the reverse, whichever is above 1. */
  batchSize: { atMost: 1.1 },
  /** Time per floating-point operation at a larger resolution over that at 32x32. */
  resolution: { atMost: 1 },
  /** Images of 32x32 a second, from the packed cache with flips. */
  pipeline: { atLeast: 20_000 },
  /** Images decoded a second over what sharp alone does. */
  decoding: { atLeast: 0.9 },
} as const;
