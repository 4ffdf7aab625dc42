import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[]) => ({
  extends: true as const,
  test: { name, include, testTimeout: 60_000, hookTimeout: 60_000 },
});

export default defineConfig({
  ssr: { resolve: { conditions: ['@diffuse/source', 'module', 'node', 'development|production'] } },
  test: {
    pool: 'forks',
    reporters: ['default', './scripts/summary-reporter.ts'],
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'], reporter: ['text'] },
    projects: [
      project('core', ['packages/core/test/**/*.test.ts']),
      project('native', ['packages/testkit/test/**/*.test.ts']),
      project('data', ['packages/data/test/**/*.test.ts']),
      project('cli', ['packages/cli/test/**/*.test.ts']),
      project('examples', ['examples/test/**/*.test.ts']),
      project('bench', ['packages/bench/test/**/*.test.ts']),
    ],
  },
});
