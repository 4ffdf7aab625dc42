import type { DeviceName } from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import type { Precision } from '../precision.ts';
import type { OpShape } from './op-shape.ts';

export type { OpShape } from './op-shape.ts';

/** What a peer is asked to do; it mirrors what ours does. */
export type Work =
  | { readonly kind: 'train-step'; readonly config: Readonly<Record<string, unknown>>; readonly batch: number }
  | {
      readonly kind: 'sample';
      readonly config: Readonly<Record<string, unknown>>;
      readonly batch: number;
      /** DDIM steps of one measurement; the time reported is that of one of them. */
      readonly steps: number;
    }
  | { readonly kind: 'forward'; readonly config: Readonly<Record<string, unknown>>; readonly batch: number }
  /** All images of a folder, brought to squares of `side` pixels. */
  | { readonly kind: 'decode'; readonly folder: string; readonly side: number }
  | OpWork;

/** One op. The time reported is that of one of the `repeats`. */
export type OpWork = { readonly kind: 'op'; readonly repeats: number } & OpShape;

/** What a short trial of each variant took, by name, in milliseconds; of one that failed, why. */
export type Tried = Readonly<Record<string, number | string>>;

/** Work that a peer is ready to do, in the variant that a short trial found the fastest. */
export interface PreparedWork extends Subject {
  readonly variant: string;
  /** What the trial found. */
  readonly tried?: Tried;
  release(): Promise<void>;
}

/** Another library that does the same work, in processes of its own. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** What it can be asked to do. */
  readonly kinds: readonly Work['kind'][];
  /** What a reader of the result must know. */
  readonly notes: readonly string[];
  /** Tries the variants and prepares the fastest. @throws when none works. */
  prepare(work: Work): Promise<PreparedWork>;
  /** Does training steps in a fresh process. */
  trainInFreshProcess?(work: Work, steps: number): Promise<{ stepMs: number[]; peakBytes: number; variant: string }>;
  /** Milliseconds from starting a process to the end of the first denoising step of the model in a diffusers folder. */
  startup?(folder: string): Promise<number>;
  close(): Promise<void>;
}

/** A peer, or why there is none. */
export type FoundPeer = { readonly peer: Peer } | { readonly missing: string };

/** How a peer is looked for. */
export interface PeerOptions {
  /** Where it computes; default `cpu`. */
  readonly device?: DeviceName;
  readonly threads: number;
  /** Instruction set that it is held to; undefined leaves it the best that the CPU has. */
  readonly isa?: string | undefined;
  readonly precision: Precision;
  /** A GPU may multiply float32 as tf32; default false. */
  readonly tf32?: boolean;
  /** Also try what its compiler makes of the network; that takes minutes. */
  readonly compile: boolean;
  /** Try the default environment only, and each variant once. */
  readonly quick: boolean;
}

/** The first of the peers that can do some work. */
export function peerFor(peers: readonly Peer[], kind: Work['kind']): Peer | undefined {
  return peers.find(({ kinds }) => kinds.includes(kind));
}
