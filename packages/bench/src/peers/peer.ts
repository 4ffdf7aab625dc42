import type { Subject } from '../alternate.ts';

/** What a peer is asked to do; it mirrors what ours does. Shapes in the names of the papers: batch N, channels C, outputs K. */
export type Work =
  | { readonly kind: 'train-step'; readonly config: Readonly<Record<string, unknown>>; readonly batch: number }
  | {
      readonly kind: 'sample';
      readonly config: Readonly<Record<string, unknown>>;
      readonly batch: number;
      /** DDIM steps of one measurement; the time reported is that of one of them. */
      readonly steps: number;
    }
  | OpWork;

/** One op. The time reported is that of one of the `repeats`. */
export type OpWork = { readonly kind: 'op'; readonly repeats: number } & OpShape;

/** An op and the sizes of its tensors. */
export type OpShape =
  | { readonly op: 'matmul'; readonly size: number }
  | {
      readonly op: 'conv2d';
      readonly part: 'forward' | 'data gradient' | 'weight gradient';
      readonly batch: number;
      readonly channels: number;
      readonly height: number;
      readonly width: number;
      readonly outputs: number;
    }
  | {
      readonly op: 'group-norm-silu';
      readonly part: 'forward' | 'backward';
      readonly batch: number;
      readonly channels: number;
      readonly height: number;
      readonly width: number;
      readonly groups: number;
    }
  | {
      readonly op: 'attention';
      readonly part: 'forward' | 'backward';
      readonly batch: number;
      readonly heads: number;
      readonly tokens: number;
      readonly channels: number;
    }
  | { readonly op: 'adamw'; readonly parameters: number };

/** Work that a peer is ready to do, in the variant that a short trial found the fastest. */
export interface PreparedWork extends Subject {
  readonly variant: string;
  release(): Promise<void>;
}

/** Another library that does the same work, in processes of its own. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** Tries the variants and prepares the fastest. @throws when none works. */
  prepare(work: Work): Promise<PreparedWork>;
  /** Does training steps in a fresh process. */
  trainInFreshProcess(work: Work, steps: number): Promise<{ stepMs: number[]; peakBytes: number; variant: string }>;
  /** Milliseconds from starting a process to the end of the first denoising step of the model in a diffusers folder. */
  startup(folder: string): Promise<number>;
  close(): Promise<void>;
}

/** A peer, or why there is none. */
export type FoundPeer = { readonly peer: Peer } | { readonly missing: string };
