import { findTcmalloc } from './allocator.ts';

/** Variables of a process. */
export type Environment = Readonly<Record<string, string>>;

/** Environments that may be faster, by what they add to the name of a variant, and what a reader must know of them. */
export interface Environments {
  readonly byName: ReadonlyMap<string, Environment>;
  readonly notes: readonly string[];
}

/** The environments that are tried: with `quick` only the default one. @param tcmalloc path of the allocator; empty for none. */
export function environments(quick: boolean, tcmalloc: string = findTcmalloc() ?? ''): Environments {
  const byName = new Map<string, Environment>([['', {}]]);
  if (quick) return { byName, notes: [] };
  const bound = { OMP_PROC_BIND: 'true' };
  byName.set(', bound threads', bound);
  if (tcmalloc === '') {
    return { byName, notes: ['no libtcmalloc was found, with which PyTorch may be faster; it was not tried'] };
  }
  byName.set(', tcmalloc', { LD_PRELOAD: tcmalloc });
  byName.set(', tcmalloc, bound threads', { LD_PRELOAD: tcmalloc, ...bound });
  return { byName, notes: [] };
}

/**
 * Variables that hold PyTorch and its libraries to so many threads and to an instruction set, which they take at their start.
 *
 * @param isa as `openDevice` names it; undefined leaves the choice to them.
 */
export function limits(threads: number, isa: string | undefined): Environment {
  const count = String(threads);
  return {
    OMP_NUM_THREADS: count,
    MKL_NUM_THREADS: count,
    // Builds with Intel's OpenMP would spin for 200 ms after each parallel region, into our measurement.
    KMP_BLOCKTIME: '5',
    ...(isa === 'avx2' && {
      ATEN_CPU_CAPABILITY: 'avx2',
      ONEDNN_MAX_CPU_ISA: 'AVX2',
      MKL_ENABLE_INSTRUCTIONS: 'AVX2',
    }),
  };
}
