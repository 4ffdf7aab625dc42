import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Graph } from '../../src/graph/graph.ts';
import { fill, scale } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import { addonPath } from '../../src/native/addon.ts';
import { type DeviceDescription, openDevice } from '../../src/native/device.ts';
import { checkGpu } from '../../src/native/open-native.ts';
import type { KernelCheck } from '../../src/native/self-check/check-kernels.ts';
import { describeOnGpu } from './gpus.ts';

const execute = promisify(execFile);
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

interface Probe {
  readonly devices: readonly DeviceDescription[];
  readonly auto: { readonly name: string };
  readonly warnings: readonly string[];
  readonly cuda: { readonly name?: string; readonly code?: string; readonly message?: string };
}

/** What a script beside this file says in a process of its own, with other variables of the environment. */
async function runAlone(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const args = ['--conditions=@diffuse/source', '--import', tsx, file];
  const { stdout } = await execute(process.execPath, args, { env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
  return stdout;
}

/** What such a process finds of GPUs. */
async function probe(env: Readonly<Record<string, string>>): Promise<Probe> {
  return JSON.parse(await runAlone('./probe.ts', env)) as Probe;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'diffuse-gpus-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('without a GPU that can be used', () => {
  test('a driver that is not there: the CPU, and the reason', async () => {
    const { auto, warnings, cuda, devices } = await probe({ DIFFUSE_CUDA_DRIVER: '/nowhere/libcuda.so.1' });
    expect(devices.map(({ device }) => device)).toEqual(['cpu']);
    expect(auto.name).toMatch(/^cpu /);
    expect(warnings).toEqual([expect.stringContaining('computing on the CPU: no NVIDIA driver was found: /nowhere/')]);
    expect(cuda).toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringContaining('cuda:0 cannot be used: no NVIDIA driver'),
    });
  });

  test('a file that is no driver: the CPU, and the reason', async () => {
    const text = join(folder, 'text.so');
    await writeFile(text, 'not a library');
    for (const file of [text, addonPath()]) {
      const { auto, warnings, cuda } = await probe({ DIFFUSE_CUDA_DRIVER: file });
      expect(auto.name).toMatch(/^cpu /);
      expect(warnings).toEqual([expect.stringContaining(file)]);
      expect(cuda.code).toBe('ERR_DEVICE');
    }
  });
});

describeOnGpu('what can be found', (name) => {
  const simulated = (variables: Readonly<Record<string, string>>): Promise<Probe> =>
    probe(Object.fromEntries(Object.entries(variables).map(([key, value]) => [`CUDA_SIMULATOR_${key}`, value])));

  test.each([
    ['a driver that is too old', { DRIVER_VERSION: '12020' }, /supports CUDA 12\.2; an R580 driver .* is needed/],
    ['a driver without a GPU', { DEVICES: 'none' }, /finds no GPU/],
    ['a GPU before Ampere', { DEVICES: 't4' }, /T4 has compute capability 7\.5; 8\.0 or newer is needed/],
    [
      'a driver that fails',
      { INIT_ERROR: 'CUDA_ERROR_SYSTEM_NOT_READY' },
      /cuInit failed: CUDA_ERROR_SYSTEM_NOT_READY/,
    ],
  ])('%s: the CPU, and the reason', async (_, variables, reason) => {
    const { auto, warnings, cuda } = await simulated(variables);
    expect(auto.name).toMatch(/^cpu /);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(reason);
    expect(cuda).toMatchObject({ code: 'ERR_DEVICE', message: expect.stringMatching(reason) });
  });

  test.each([
    [
      'is busy',
      { FAIL_CALL: 'cuDevicePrimaryCtxRetain:1:CUDA_ERROR_DEVICE_UNAVAILABLE' },
      /^computing on the CPU: cuda:0 \(NVIDIA A100.*\) cannot be opened: CUDA: .* CUDA_ERROR_DEVICE_UNAVAILABLE/,
    ],
    ['has no memory left', { MEMORY: '64K' }, /cuda:0 \(NVIDIA A100.*\) cannot be opened: .*CUDA_ERROR_OUT_OF_MEMORY/],
    [
      'has no memory for the check of its kernels',
      { MEMORY: '300K', SELF_CHECK: 'on' },
      /the check of the kernels of cuda:0 \(NVIDIA A100.*\) cannot be made, so it is not used: cuda:0 has no .* memory left/,
    ],
  ])('a GPU that %s: the CPU, and the reason', async (what, variables, reason) => {
    const { SELF_CHECK = 'off', ...others }: Record<string, string> = variables;
    const simulator = Object.entries(others).map(([key, value]) => [`CUDA_SIMULATOR_${key}`, value]);
    const { auto, warnings } = await probe({
      ...{ PROBE_SELF_CHECK: SELF_CHECK, DIFFUSE_CACHE: join(folder, what), CUDA_SIMULATOR_DEVICES: 'a100' },
      ...Object.fromEntries(simulator),
    });
    expect(auto.name).toMatch(/^cpu /);
    expect(warnings).toEqual([expect.stringMatching(reason)]);
  });

  test('a GPU that cannot be used is passed over for one that can', async () => {
    const { auto, warnings, cuda, devices } = await simulated({ DEVICES: 't4,a100' });
    expect(devices.map(({ device, reason }) => [device, reason === ''])).toEqual([
      ['cpu', true],
      ['cuda:0', false],
      ['cuda:1', true],
    ]);
    expect(auto.name).toMatch(/^cuda:1 .*A100/);
    expect(warnings).toEqual([]);
    expect(cuda.code).toBe('ERR_DEVICE');
  });

  test('a GPU that is busy is passed over for another, and the reason', async () => {
    const busy = 'cuDevicePrimaryCtxRetain:1:CUDA_ERROR_DEVICE_UNAVAILABLE';
    const { auto, warnings } = await simulated({ DEVICES: 't4,a100,h100', FAIL_CALL: busy });
    expect(auto.name).toMatch(/^cuda:2 .*H100/);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^computing on cuda:2 .*H100.*: cuda:1 \(NVIDIA A100.*\) cannot be opened: .*DEVICE_UNAVAILABLE/,
      ),
    ]);
    expect(warnings[0]).not.toContain('T4');
  });

  test('without compiled kernels: the CPU, and how they are made', async () => {
    const images = join(folder, 'none');
    await mkdir(images);
    const { auto, warnings } = await probe({ DIFFUSE_CUDA_IMAGES: images });
    expect(auto.name).toMatch(/^cpu /);
    expect(warnings).toEqual([expect.stringContaining('pnpm build:cuda')]);
  });

  test('compiled kernels of another build: the CPU, and which', async () => {
    const images = join(folder, 'other-build');
    await cp(process.env.DIFFUSE_CUDA_IMAGES as string, images, { recursive: true });
    await writeFile(join(images, 'images.txt'), 'build 0123456789abcdef\n');
    const { auto, warnings, cuda, devices } = await probe({ DIFFUSE_CUDA_IMAGES: images });
    const reason = `the CUDA kernels in ${images} are of build 0123456789abcdef and the addon ${addonPath()} is of build`;
    expect(auto.name).toMatch(/^cpu /);
    expect(warnings).toEqual([expect.stringContaining(`computing on the CPU: ${reason}`)]);
    expect(cuda).toMatchObject({ code: 'ERR_DEVICE', message: expect.stringMatching(/pnpm build:cuda/) });
    expect(devices[1]?.reason).toContain(reason);
  });

  test('a GPU that an error has closed opens anew as soon as its device is disposed', async () => {
    const story = await runAlone('./reopen.ts', {
      CUDA_SIMULATOR_FAIL_CALL: 'cuGraphLaunch:1:CUDA_ERROR_ILLEGAL_ADDRESS',
      CUDA_SIMULATOR_DEVICES: 'a100',
      // After such an error nothing can be given back.
      CUDA_SIMULATOR_REPORT: '',
    });
    const fault = 'CUDA: cuGraphLaunch failed: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)';
    expect(story.trim().split('\n')).toEqual([
      `computing: ERR_DEVICE ${fault}`,
      `again: ERR_DEVICE cuda:0 is closed since an error, and must be opened anew: ${fault}`,
      expect.stringMatching(
        /^beside it: ERR_DEVICE cuda:0 \(NVIDIA A100.*\) cannot be opened: .*; devices of it that .* be disposed/,
      ),
      'anew: 2 2 2',
    ]);
  });

  test('there is no GPU of that number', async () => {
    const refusal = {
      code: 'ERR_DEVICE',
      message: expect.stringContaining("there is no device 'cuda:97'; available: cpu, cuda:0"),
    };
    await expect(openDevice('cuda:97')).rejects.toMatchObject(refusal);
  });

  test('memory is that of the GPU: what does not fit is refused before anything is allocated', async () => {
    using device = await openDevice(name, { selfCheck: false });
    const free = device.availableBytes();
    const buffer = device.allocate(1 << 20);
    expect(free - device.availableBytes()).toBeGreaterThanOrEqual(1 << 20);
    expect(() => device.allocate(2 * free)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }));
    const graph = new Graph();
    const y = scale(fill(graph, [Math.ceil(free / 4)], 1), 2);
    expect(() => compile(graph, { device, outputs: { y } })).toThrow(/are available, .* are missing/);
    buffer.dispose();
  });
});

describeOnGpu('the end of a process', () => {
  test('comes after the last run of a device that has been closed, and leaves the driver in order', async () => {
    const report = join(folder, 'report.jsonl');
    await runAlone('./leave.ts', { CUDA_SIMULATOR_REPORT: report });
    expect(await readFile(report, 'utf8')).toBe('');
  });
});

describeOnGpu('the self-check', (name) => {
  test('finds every kernel to compute what the CPU does, in every format', async () => {
    const checks = await checkGpu(name);
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(new Set(checks.map(({ format }) => format))).toEqual(new Set(['f32', 'bf16', 'tf32']));
  });

  test('refuses a GPU whose kernels compute something else, remembers one whose kernels do not', async () => {
    const cache = join(folder, 'cache');
    const images = join(folder, 'images');
    await cp(process.env.DIFFUSE_CUDA_IMAGES as string, images, { recursive: true });
    const [silu, right] = [join(images, 'silu.ptx'), await readFile(join(images, 'silu.ptx'), 'utf8')];
    const variables = {
      PROBE_SELF_CHECK: 'on',
      DIFFUSE_CACHE: cache,
      DIFFUSE_CUDA_IMAGES: images,
      CUDA_SIMULATOR_DEVICES: 'a100',
    };

    await writeFile(silu, right.replaceAll('ex2.approx.ftz.f32', 'rcp.approx.ftz.f32'));
    const wrong = await probe(variables);
    expect(wrong.auto.name).toMatch(/^cpu /);
    expect(wrong.warnings).toEqual([
      expect.stringMatching(/A100.* does not compute what the CPU does.*silu_forward \(f32\)/),
    ]);
    expect(wrong.cuda.code).toBe('ERR_DEVICE');

    await writeFile(silu, right);
    const good = await probe(variables);
    expect(good.auto.name).toMatch(/^cuda:0 .*A100/);
    expect(await readdir(join(cache, 'self-check'))).toHaveLength(1);
  });

  /** The kernels that do not agree, with what came of them. */
  async function disagreeing(variables: Readonly<Record<string, string>>): Promise<string[]> {
    // What the simulator finds here is meant to be found.
    const environment = { CUDA_SIMULATOR_DEVICES: 'a100', CUDA_SIMULATOR_REPORT: '', ...variables };
    const checks = JSON.parse(await runAlone('./check.ts', environment)) as KernelCheck[];
    expect(checks.length).toBeGreaterThan(90);
    return checks.filter(({ ok }) => !ok).map(({ kernel, format, outcome }) => `${kernel} ${format} ${outcome}`);
  }

  /** A copy of the images in which some are changed. */
  async function imagesWith(changes: Readonly<Record<string, (ptx: string) => string>>): Promise<string> {
    const images = await mkdtemp(join(folder, 'changed-'));
    await cp(process.env.DIFFUSE_CUDA_IMAGES as string, images, { recursive: true });
    for (const [image, change] of Object.entries(changes)) {
      const file = join(images, `${image}.ptx`);
      const ptx = await readFile(file, 'utf8');
      expect(change(ptx)).not.toBe(ptx);
      await writeFile(file, change(ptx));
    }
    return images;
  }

  /** The entry begins with a trap, which ends the context. */
  const trapped = (ptx: string, entry: string): string =>
    ptx.replace(new RegExp(`(\\.entry ${entry}\\([^{]*\\{.*?\\n\\n)`, 's'), '$1\ttrap;\n');

  test('names the kernels that fail and those that differ: each is checked, whatever those before it did', async () => {
    const images = await imagesWith({
      silu: (ptx) => trapped(ptx, 'silu_forward_f32').replaceAll('ex2.approx.ftz.f32', 'rcp.approx.ftz.f32'),
      optimizer: (ptx) => trapped(ptx, 'adamw_ema_f32'),
    });
    expect(await disagreeing({ DIFFUSE_CUDA_IMAGES: images })).toEqual([
      'silu_forward f32 failed',
      'silu_backward f32 differs',
      'adamw_ema f32 failed',
    ]);
  });

  test('an error of the driver fails one kernel; the device is opened anew for the rest', async () => {
    const failed = await disagreeing({ CUDA_SIMULATOR_FAIL_CALL: 'cuLaunchKernel:40:CUDA_ERROR_LAUNCH_FAILED' });
    expect(failed).toEqual([expect.stringMatching(/^conv2d_\w+ \w+ failed$/)]);
  });

  test('says which kernels were not checked where the device cannot be opened anew', async () => {
    const images = await imagesWith({ optimizer: (ptx) => trapped(ptx, 'gradient_norm_f32') });
    const failed = await disagreeing({
      CUDA_SIMULATOR_FAIL_CALL: 'cuDevicePrimaryCtxRelease_v2:1:CUDA_ERROR_UNKNOWN',
      DIFFUSE_CUDA_IMAGES: images,
    });
    expect(failed.slice(0, 2)).toEqual(['gradient_norm f32 failed', 'adamw_ema f32 unchecked']);
    expect(failed.slice(2).every((line) => / tf32 unchecked$/.test(line))).toBe(true);
    expect(failed.length).toBeGreaterThan(2);
  });
});
