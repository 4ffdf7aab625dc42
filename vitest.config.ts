import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], more: object = {}) => ({
  extends: true as const,
  test: { name, include, exclude: ['**/test/cuda/**'], testTimeout: 60_000, hookTimeout: 60_000, ...more },
});

/** For projects that also compute on GPUs, simulated ones where nothing else is said. */
const withCuda = {
  globalSetup: ['./scripts/vitest-cuda-setup.ts'],
  setupFiles: ['./scripts/vitest-cuda-environment.ts'],
};

export default defineConfig({
  ssr: { resolve: { conditions: ['@diffuse/source', 'module', 'node', 'development|production'] } },
  test: {
    pool: 'forks',
    // Of few cores none can be spared for the process that only gives out files.
    maxWorkers: availableParallelism(),
    reporters: ['default', './scripts/summary-reporter.ts'],
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'], reporter: ['text'] },
    projects: [
      project('core', ['packages/core/test/**/*.test.ts']),
      project('native', ['packages/testkit/test/**/*.test.ts'], withCuda),
      project('cuda', ['packages/*/test/cuda/**/*.test.ts'], {
        ...withCuda,
        exclude: [],
        // A simulated GPU is a thousand times slower than a CPU.
        testTimeout: 300_000,
      }),
      project('data', ['packages/data/test/**/*.test.ts']),
      project('cli', ['packages/cli/test/**/*.test.ts']),
      project('examples', ['examples/test/**/*.test.ts']),
      project('bench', ['packages/bench/test/**/*.test.ts']),
    ],
  },
});
