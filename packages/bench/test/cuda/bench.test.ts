import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { openDevice } from '@diffuse/core';
import { testGpus } from '@diffuse/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findPytorch, pytorchCommand } from '../../src/peers/pytorch.ts';
import { type BenchResult, readResult } from '../../src/result.ts';

const execute = promisify(execFile);
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const fakes = fileURLToPath(new URL('../fake-torch', import.meta.url));
const python = process.env.PYTHON ?? 'python3';

const { devices, missing } = testGpus();
// A GPU would be measured for minutes, and nothing be left out.
const why = missing ?? (process.env.CUDA_SIMULATOR_DEVICES ? undefined : 'the GPU is no simulated one');
const lacking = why ?? (spawnSync(python, ['--version']).error ? `${python} was not found` : undefined);
const title = lacking === undefined ? 'pnpm bench on a GPU' : `pnpm bench on a GPU (skipped: ${lacking})`;

describe.skipIf(lacking !== undefined)(title, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bench-gpu-'));
    // The check of the kernels is passed here, where they compute; the benchmark finds that remembered.
    process.env.DIFFUSE_CACHE = folder;
    (await openDevice(devices[0] as 'cuda')).dispose();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  interface Run {
    readonly result: BenchResult;
    readonly table: string;
    /** What the driver was asked for, and what PyTorch was. */
    readonly calls: readonly string[];
    readonly torch: readonly string[];
  }

  /** Runs the benchmark on a simulated GPU whose kernels are launched but not computed, beside a PyTorch of paper. */
  async function bench(name: string, args: readonly string[], variables: object = {}): Promise<Run> {
    const [json, log, torchLog] = ['json', 'calls', 'torch'].map((kind) => join(folder, `${name}.${kind}`)) as [
      string,
      string,
      string,
    ];
    const env = {
      ...{ ...process.env, CUDA_SIMULATOR_EXECUTE: 'off', CUDA_SIMULATOR_LOG: log },
      ...{ PYTHON: python, PYTHONPATH: fakes, FAKE_TORCH_LOG: torchLog, FAKE_TORCH_CUDA: '13.0', ...variables },
    };
    const flags = ['--device', 'cuda', '--quick', '--configs', 'S', '--peer', 'pytorch', '--json', json];
    const command = ['--conditions=@diffuse/source', '--import', tsx, main, ...flags, ...args];
    await writeFile(torchLog, '');
    const { stdout } = await execute(process.execPath, command, { env, maxBuffer: 1 << 24 });
    const lines = async (file: string): Promise<string[]> =>
      (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
    return { result: await readResult(json), table: stdout, calls: await lines(log), torch: await lines(torchLog) };
  }

  test('networks: each step of either side is waited for, and the table has both', async () => {
    const { result, table, calls, torch } = await bench('networks', ['train-step', 'sample', 'forward']);
    expect(result.cases.map(({ suite, name }) => `${suite} ${name}`)).toEqual([
      'train-step S, batch 64',
      'forward S, forward, batch 1',
      'forward S, forward, batch 16',
      'sample S, DDIM step, batch 16',
      'sample S, DDIM step, batch 1',
    ]);
    for (const { suite, ours, ratio } of result.cases) {
      expect(ours.medianMs).toBeGreaterThan(0);
      expect(ours.peakBytes).toBeGreaterThan(0);
      if (suite === 'forward') expect(ratio).toBeUndefined();
      else expect(ratio).toBeGreaterThan(0);
    }
    expect(result.machine.device).toMatch(/^cuda:0 NVIDIA A100/);
    expect(result.machine.driver).toMatch(/CUDA 13\.0/);
    expect(table).toMatch(/^cuda:0 NVIDIA A100.* 108 multiprocessors;/m);
    expect(result.notes.join('\n')).toMatch(/pytorch computes on a GPU of paper, float32 without tf32/);
    expect(result.notes.join('\n')).toMatch(/onnxruntime: it is measured on the CPU only, not on cuda/);

    const failed = calls.filter((line) => !line.includes('CUDA_SUCCESS') && !line.includes('STREAM_CAPTURE'));
    expect(failed).toEqual([]);
    // Whole steps are recorded and replayed.
    expect(calls.some((line) => line.includes('cuGraphLaunch'))).toBe(true);
    expect(calls.findLastIndex((line) => /cuStreamSynchronize/.test(line))).toBeGreaterThan(
      calls.findLastIndex((line) => /cuLaunchKernel|cuGraphLaunch/.test(line)),
    );

    expect(torch).toContain('cudnn.allow_tf32 = False');
    expect(torch).toContain('matmul.allow_tf32 = False');
    expect(torch).toContain('default device cuda');
    expect(torch).toContain('current device cuda');
    expect(torch).toContain('seed 0');
    const step = ['synchronised', 'autocast cuda False', 'loss read', 'synchronised'];
    const at = torch.indexOf('loss read');
    expect(torch.slice(at - 2, at + 2)).toEqual(step);
  });

  test('ops: kernels are timed by events on both sides; tf32 is that of both', async () => {
    const { result, calls, torch } = await bench('ops', ['ops', '--only', 'matmul', '--tf32']);
    const [row] = result.cases;
    expect(row?.ours.medianMs).toBeGreaterThan(0);
    expect(row?.peer?.medianMs).toBeGreaterThan(0);
    expect(result.machine.tf32).toBe(true);
    expect(calls.some((line) => line.includes('cuEventElapsedTime'))).toBe(true);
    expect(torch).toContain('cudnn.allow_tf32 = True');
    expect(torch).toContain('matmul.allow_tf32 = True');
    const begin = torch.indexOf('event recorded event');
    const end = torch.indexOf('elapsed time');
    const timed = torch.slice(begin - 1, end + 1);
    expect(timed[0]).toBe('synchronised');
    expect(timed.filter((line) => line.startsWith('product')).length).toBeGreaterThan(0);
    expect(timed.slice(-3)).toEqual(['event recorded event', 'event awaited event', 'elapsed time']);
  });

  test('ops and blocks in bf16, on the second GPU: PyTorch computes there, too', async () => {
    const args = ['ops', 'block', '--only', '16x8x8x256', '--precision', 'bf16', '--device', 'cuda:1'];
    const { result, torch } = await bench('second', args, { CUDA_SIMULATOR_DEVICES: 'a100,a100' });
    expect(result.machine.device).toMatch(/^cuda:1 /);
    expect(result.cases.map(({ suite }) => suite)).toEqual(['ops', 'ops', 'ops', 'block']);
    expect(result.cases.every(({ ratio }) => ratio !== undefined && ratio > 0)).toBe(true);
    expect(torch).toContain('default device cuda:1');
    expect(torch).toContain('current device cuda:1');
    expect(torch).toContain('autocast cuda True');
  });

  test('what changes weights is not held against the memory of the CPU', async () => {
    const { result } = await bench('update', ['ops', '--only', 'clip']);
    expect(result.cases).toHaveLength(1);
    expect(result.cases[0]).not.toHaveProperty('fractionOfBandwidth');
    expect(result.cases[0]).not.toHaveProperty('goals');
  });

  test.each([
    ['is built without CUDA', { FAKE_TORCH_CUDA: '' }, /^pytorch: PyTorch 2\.0-fake is built without CUDA/],
    ['finds no GPU', { FAKE_TORCH_CUDA: '13.0', FAKE_TORCH_GPU: 'none' }, /^pytorch: PyTorch 2\.0-fake finds no GPU/],
  ])('a PyTorch that %s is told', async (_, variables, missing) => {
    const env = { PYTHONPATH: fakes, FAKE_TORCH_LOG: '/dev/null', ...variables };
    const options = { device: 'cuda', threads: 1, precision: 'fp32', compile: false, quick: true } as const;
    const found = await findPytorch(options, { ...pytorchCommand(), program: python, env });
    expect(found).toEqual({ missing: expect.stringMatching(missing) });
  });
});
