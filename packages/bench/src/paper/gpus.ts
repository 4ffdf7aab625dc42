import { DiffuseError } from '@diffuse/core';

/** What a GPU can do at most, and what its multiprocessors hold, by its maker's data sheets. */
export interface Gpu {
  readonly name: string;
  /** Which images it runs: `sm_80` … */
  readonly arch: string;
  readonly multiprocessors: number;
  /** Multiply-adds of the matrix unit with sums in float32, dense, in TFLOP/s. */
  readonly bf16Tflops: number;
  /** Multiply-adds of the vector units in float32. */
  readonly fp32Tflops: number;
  readonly memoryGBs: number;
  /** That the peaks above are meant for. */
  readonly clockGHz: number;
  /** Of one multiprocessor. */
  readonly warps: number;
  readonly blocks: number;
  readonly sharedBytes: number;
  /** The part of the matrix unit's peak that `mma.sync` reaches: Hopper's full rate takes its own instructions. */
  readonly reachable: number;
}

const kilobyte = 1024;

/** GPUs that times are predicted for, by the name that users type. */
export const gpus: Readonly<Record<string, Gpu>> = {
  a100: {
    ...{ name: 'A100 SXM 80 GB', arch: 'sm_80', multiprocessors: 108 },
    ...{ bf16Tflops: 312, fp32Tflops: 19.5, memoryGBs: 2039, clockGHz: 1.41 },
    ...{ warps: 64, blocks: 32, sharedBytes: 164 * kilobyte, reachable: 1 },
  },
  h100: {
    ...{ name: 'H100 SXM', arch: 'sm_90', multiprocessors: 132 },
    ...{ bf16Tflops: 989, fp32Tflops: 67, memoryGBs: 3350, clockGHz: 1.83 },
    ...{ warps: 64, blocks: 32, sharedBytes: 228 * kilobyte, reachable: 0.62 },
  },
  rtx4090: {
    ...{ name: 'RTX 4090', arch: 'sm_89', multiprocessors: 128 },
    ...{ bf16Tflops: 165.2, fp32Tflops: 82.6, memoryGBs: 1008, clockGHz: 2.52 },
    ...{ warps: 48, blocks: 24, sharedBytes: 100 * kilobyte, reachable: 1 },
  },
  rtx5090: {
    ...{ name: 'RTX 5090', arch: 'sm_120', multiprocessors: 170 },
    ...{ bf16Tflops: 209.5, fp32Tflops: 104.8, memoryGBs: 1792, clockGHz: 2.41 },
    ...{ warps: 48, blocks: 24, sharedBytes: 100 * kilobyte, reachable: 1 },
  },
};

/** @throws `ERR_ARGUMENT` for a name that there is not. */
export function selectGpus(names: readonly string[]): readonly Gpu[] {
  return names.map((name) => {
    const gpu = Object.hasOwn(gpus, name) ? gpus[name] : undefined;
    if (gpu) return gpu;
    throw new DiffuseError('ERR_ARGUMENT', `there is no GPU '${name}'; there are ${Object.keys(gpus).join(', ')}`);
  });
}
