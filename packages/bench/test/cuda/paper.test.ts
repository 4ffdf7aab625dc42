import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelSignatures } from '@diffuse/core';
import { testGpus } from '@diffuse/testkit';
import { describe, expect, test } from 'vitest';
import type { PaperCalls } from '../../src/paper/paper.ts';

const missing = process.env.DIFFUSE_CUDA_DRIVER?.includes('simulator') ? testGpus().missing : 'it takes the simulator';
const title = missing === undefined ? 'kernels on paper' : `kernels on paper (skipped: ${missing})`;

describe.skipIf(missing !== undefined)(title, () => {
  test('a network is reckoned with every kernel, each with what it launches', async () => {
    const files = await mkdtemp(join(tmpdir(), 'paper-'));
    const main = fileURLToPath(new URL('../../src/paper/main.ts', import.meta.url));
    const tsx = createRequire(import.meta.url).resolve('tsx/cli');
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [tsx, '--conditions=@diffuse/source', main, '--network', 'L', '--files', files, '--batch', '2'],
      {
        env: {
          ...process.env,
          ...{ CUDA_SIMULATOR_DEVICES: 'a100', CUDA_SIMULATOR_MEMORY: '80G', CUDA_SIMULATOR_EXECUTE: 'off' },
          ...{ CUDA_SIMULATOR_LOG: join(files, 'log'), CUDA_SIMULATOR_TRAFFIC: join(files, 'traffic') },
        },
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      },
    );
    await rm(files, { recursive: true });
    expect(stderr).toBe('');
    const { step, others } = JSON.parse(stdout) as PaperCalls;
    const kernels = new Set([...step, ...others].map(({ kernel }) => kernel));
    expect([...kernels].sort()).toEqual(Object.keys(kernelSignatures).sort());
    for (const { kernel, bytes, launches } of [...step, ...others]) {
      expect(bytes, kernel).toBeGreaterThan(0);
      expect(launches.length, kernel).toBeGreaterThan(0);
    }
    // An entry is named as its kernel, but for linear maps, which are convolutions, and sums of all samples.
    const named = others.filter(({ kernel }) => !/^(?:cast|sum)$/.test(kernel));
    for (const { kernel, launches } of named) expect(launches.map(({ entry }) => entry).join()).toContain(kernel);
    const { bytes = 0, launches = [] } = others.find(({ kernel }) => kernel === 'sampler_update') ?? {};
    // Two images read and two written: 2 of 32 x 32 x 3 float32 each.
    expect(bytes).toBe(4 * 2 * 32 * 32 * 3 * 4);
    expect(launches).toEqual([{ entry: 'sampler_update_f32', blocks: 6, threads: 256, sharedBytes: 0 }]);
  });
});
