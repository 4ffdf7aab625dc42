import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testGpus } from '@diffuse/testkit';
import { describe, expect, test } from 'vitest';
import {
  ended,
  jsonLines,
  pngSize,
  resultOf,
  run,
  start,
  startWith,
  temporaryFolder,
  tinyImages,
  tinyModel,
} from '../helpers.ts';

const { missing } = testGpus();
const title = missing === undefined ? 'commands on a GPU' : `commands on a GPU (skipped: ${missing})`;

describe.skipIf(missing !== undefined)(title, () => {
  test('doctor shows the GPUs and what --device auto takes', async () => {
    process.env.DIFFUSE_CACHE = await temporaryFolder();
    const { code, stdout } = await run('doctor');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^cuda +NVIDIA driver.*, supports CUDA \d+\.\d+$/m);
    expect(stdout).toMatch(
      /^cuda:0 +NVIDIA .*, compute capability \d+\.\d, [\d.]+ GiB: can be used, (?:machine code|PTX) of \w+/m,
    );
    expect(stdout).toMatch(/^kernels +build \w{16}, (?:fatbin|ptx) \w{16} by nvcc [\d.]+ for /m);
    expect(stdout).toMatch(/^device +cuda:0 NVIDIA .*, \d+ multiprocessors$/m);
  });

  test('doctor --check holds each kernel of a GPU against the CPU', async () => {
    const env = { DIFFUSE_CACHE: await temporaryFolder(), CUDA_SIMULATOR_DEVICES: 'rtx4090,t4' };
    const { code, stdout } = await ended(startWith(env, 'doctor', '--check'));
    expect(code).toBe(0);
    const [checks, agree] = (/^(\d+) checks of \d+ kernels in [\d.]+ s; agree: (\d+)$/m.exec(stdout) ?? []).slice(1);
    expect(Number(checks)).toBeGreaterThan(90);
    expect(agree).toBe(checks);
    expect(stdout).toMatch(/^cuda:0 NVIDIA .*: sums beside float64, and a training\nok +matrix product/m);
  });

  test('a device that there is not is one line that names the flag', async () => {
    const folder = await temporaryFolder();
    const data = await tinyImages(join(folder, 'photos'), 1);
    const { code, stderr } = await run('train', '--data', data, '--out', join(folder, 'run'), '--device', 'cuda:97');
    expect(code).toBe(2);
    expect(stderr).toMatch(/--device cuda:97: there is no device 'cuda:97'; available: cpu, cuda:0 \(NVIDIA/);
  });

  test('--tf32 multiplies float32 otherwise, in training and in sampling', async () => {
    const folder = await temporaryFolder();
    process.env.DIFFUSE_CACHE = join(folder, 'verdicts');
    const data = await tinyImages(join(folder, 'photos'), 8);
    const flags = [...tinyModel, '--device=cuda', '--steps=1', `--cache-dir=${join(folder, 'cache')}`];
    const [exact, rounded] = [join(folder, 'exact'), join(folder, 'rounded')];
    expect((await run('train', '--data', data, '--out', exact, ...flags)).stderr).toMatch(/multiprocessors, fp32;/);
    const { code, stderr } = await run('train', '--data', data, '--out', rounded, ...flags, '--tf32');
    expect(code).toBe(0);
    expect(stderr).toMatch(/multiprocessors, fp32 multiplied as tf32;/);
    const loss = async (out: string): Promise<number> => {
      const [line] = jsonLines(await readFile(join(out, 'metrics.jsonl'), 'utf8'));
      return line?.loss as number;
    };
    const [a, b] = [await loss(exact), await loss(rounded)];
    expect(a).not.toBe(b);
    expect(Math.abs(a / b - 1)).toBeLessThan(1e-2);

    const images = ['sample', '--model', exact, '-n', '1', '--steps', '1', '--device', 'cuda', '--out'];
    expect((await run(...images, join(folder, 'a.png'))).code).toBe(0);
    expect((await run(...images, join(folder, 'b.png'), '--tf32')).code).toBe(0);
  });

  test('a fault in training is one line that says what can be done; the run goes on from its checkpoint', async () => {
    const folder = await temporaryFolder();
    const data = await tinyImages(join(folder, 'photos'), 8);
    const out = join(folder, 'run');
    const flags = [...tinyModel, '--device=cuda', '--checkpoint-every=1', `--cache-dir=${join(folder, 'cache')}`];
    const env = {
      DIFFUSE_CACHE: process.env.DIFFUSE_CACHE ?? folder,
      CUDA_SIMULATOR_DEVICES: 'a100',
      CUDA_SIMULATOR_FAIL_CALL: 'cuGraphLaunch:2:CUDA_ERROR_ILLEGAL_ADDRESS',
      // After such an error nothing can be given back.
      CUDA_SIMULATOR_REPORT: '',
    };
    const failed = await ended(startWith(env, 'train', '--data', data, '--out', out, ...flags, '--steps=5'));
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /^diffuse: cuda:0 NVIDIA A100.*: CUDA: cuGraphLaunch failed: CUDA_ERROR_ILLEGAL_ADDRESS .*\. diffuse doctor --check tells .*; diffuse train --resume --out .* goes on from the last checkpoint$/m,
    );
    const rest = await run('train', '--data', data, '--out', out, ...flags, '--steps=3', '--resume');
    expect(rest.stderr).toMatch(/to step 3$/m);
    expect(rest.code).toBe(0);
  });

  test('Ctrl-C leaves a durable checkpoint and exit code 130', async () => {
    const folder = await temporaryFolder();
    const data = await tinyImages(join(folder, 'photos'), 8);
    const out = join(folder, 'run');
    const flags = [...tinyModel, '--device=cuda', '--steps=1000', `--cache-dir=${join(folder, 'cache')}`];
    const child = start('train', '--data', data, '--out', out, ...flags, '--json');
    const end = ended(child);
    let stopped = false;
    child.stdout?.on('data', (text: string) => {
      if (!stopped && text.includes('"event":"step"')) stopped = child.kill('SIGINT');
    });
    const { code, stderr } = await end;
    expect(code).toBe(130);
    expect(stderr).toMatch(/stopped at step \d+ of 1000; go on with: diffuse train --resume/);
    expect(existsSync(join(out, 'state.safetensors'))).toBe(true);
  });

  test('a run that is killed resumes to the same bytes, and draws images', async () => {
    const folder = await temporaryFolder();
    process.env.DIFFUSE_CACHE = join(folder, 'verdicts');
    const data = await tinyImages(join(folder, 'photos'), 8);
    const flags = [
      ...tinyModel,
      '--device=cuda',
      '--steps=6',
      '--checkpoint-every=2',
      `--cache-dir=${join(folder, 'cache')}`,
    ];
    const whole = join(folder, 'whole');
    const { code, stderr } = await run('train', '--data', data, '--out', whole, ...flags);
    expect(stderr).toMatch(/on cuda:0 NVIDIA .*, \d+ multiprocessors, fp32/);
    expect(code).toBe(0);

    const killed = join(folder, 'killed');
    const child = start('train', '--data', data, '--out', killed, ...flags, '--json', '--quiet');
    const end = ended(child);
    while (!existsSync(join(killed, 'state.safetensors'))) await sleep(50);
    child.kill('SIGKILL');
    const { signal, stdout } = await end;
    expect(signal).toBe('SIGKILL');
    expect(jsonLines(stdout).some(({ event }) => event === 'begin')).toBe(true);
    expect((await run('train', '--data', data, '--out', killed, ...flags, '--resume')).code).toBe(0);
    expect(await resultOf(killed)).toEqual(await resultOf(whole));

    const grid = join(folder, 'grid.png');
    const drawn = await run('sample', '--model', whole, '--out', grid, '-n', '2', '--steps', '2', '--device', 'cuda');
    expect(drawn.code).toBe(0);
    expect(await pngSize(grid)).toEqual([expect.any(Number), expect.any(Number)]);
  });
});
