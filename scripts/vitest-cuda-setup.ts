import type { TestProject } from 'vitest/node';
// @ts-expect-error: a script without types.
import { buildSimulator, takeFindings } from './lib/cuda-simulator.mjs';

/** How tests reach a GPU: variables that name a driver and the kernels for it, or why there is neither. */
export interface CudaForTests {
  readonly environment?: Readonly<Record<string, string>>;
  readonly missing?: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    cuda: CudaForTests;
  }
}

let built: Promise<CudaForTests> | undefined;

/**
 * Builds the simulator of GPUs and the kernels once, before the tests of a project that compute on them. A driver that is named by
 * `DIFFUSE_CUDA_DRIVER` is taken instead, with the kernels of `pnpm build:cuda`. At the end the run fails if the simulator found
 * anything wrong, even where the results were right.
 */
export default async function setup(project: TestProject): Promise<() => void> {
  built ??= process.env.DIFFUSE_CUDA_DRIVER
    ? Promise.resolve({ environment: {} })
    : (buildSimulator() as Promise<CudaForTests>);
  project.provide('cuda', await built);
  return () => {
    const findings = takeFindings() as string[];
    if (findings.length === 0) return;
    // An error that is thrown here would only be told.
    console.error(`the CUDA simulator found:\n${findings.join('\n')}`);
    process.exitCode = 1;
  };
}
