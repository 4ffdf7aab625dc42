import type { OpCase } from '../op-case.ts';
import { siluCases } from './silu.ts';

/** Every op case, by op: what the tests, the self-check and the benchmark of single ops walk through. */
export const opCases: Readonly<Record<string, readonly OpCase[]>> = {
  silu: siluCases,
};
