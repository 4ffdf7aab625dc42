import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnGpu } from './gpus.ts';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('../../../..', import.meta.url));
const native = `@diffuse/native-${process.platform}-${process.arch}`;

/** Opens a device and computes something: prints its name, the numbers, the addon, where its kernels are, and what was said. */
const program = `
import { compile, fill, Graph, nativeInfo, openDevice, scale } from '@diffuse/core';
const warnings = [];
const device = await openDevice('auto', { selfCheck: false, onWarning: (text) => warnings.push(text) });
const graph = new Graph();
const { y } = await compile(graph, { device, outputs: { y: scale(fill(graph, [3], 1), 2) } }).run();
const { path, cuda } = nativeInfo();
console.log(JSON.stringify({ name: device.name, y: [...y], path, folder: cuda.images.folder, warnings }));
device.dispose();
`;

interface Found {
  readonly name: string;
  readonly y: readonly number[];
  readonly path: string;
  readonly folder: string;
  readonly warnings: readonly string[];
}

describeOnGpu('packages that were installed', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'diffuse-installed-'));
    const packed = join(folder, 'packed');
    await mkdir(packed);
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    await execute(process.execPath, [tsc, '-b', 'packages/core'], { cwd: root });
    await execute(process.execPath, ['scripts/bundle-core.mjs'], { cwd: root });
    const core = await execute('npm', ['pack', '--silent', '--pack-destination', packed], {
      cwd: join(root, 'packages/core'),
    });
    const addon = await execute(process.execPath, ['scripts/pack-native.mjs', '--out', packed], { cwd: root });
    expect(addon.stdout).toMatch(/\.tgz, with \d+ images of CUDA kernels$/m);
    const tarballs = [join(packed, core.stdout.trim()), addon.stdout.split(',')[0] as string];
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    await writeFile(join(folder, 'program.mjs'), program);
    await execute('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], { cwd: folder });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What the program finds where there is no nvcc, nor anything that names kernels or an addon. */
  async function find(variables: Readonly<Record<string, string>> = {}): Promise<Found> {
    const { DIFFUSE_NATIVE, DIFFUSE_CUDA_IMAGES, CUDACXX, CUDA_HOME, CUDA_PATH, ...others } = process.env;
    const env = { ...others, PATH: [dirname(process.execPath), '/bin'].join(delimiter), ...variables };
    const { stdout } = await execute(process.execPath, ['program.mjs'], { cwd: folder, env });
    return JSON.parse(stdout) as Found;
  }

  test('carry the kernels, which are found where they were packed', async () => {
    const place = join(folder, 'node_modules', native);
    expect(await find()).toEqual({
      name: expect.stringMatching(/^cuda:0 /),
      y: [2, 2, 2],
      path: join(place, 'diffuse_native.node'),
      folder: join(place, 'cuda'),
      warnings: [],
    });
  });

  test('use other kernels where DIFFUSE_CUDA_IMAGES names a folder', async () => {
    const { name, warnings } = await find({ DIFFUSE_CUDA_IMAGES: folder });
    expect(name).toMatch(/^cpu /);
    expect(warnings).toEqual([
      expect.stringContaining(`the CUDA kernels have not been compiled: ${folder} holds none`),
    ]);
  });

  test('without kernels compute on the CPU, and say so', async () => {
    const kernels = join(folder, 'node_modules', native, 'cuda');
    await rm(kernels, { recursive: true });
    const { name, y, warnings } = await find();
    expect(name).toMatch(/^cpu /);
    expect(y).toEqual([2, 2, 2]);
    expect(warnings).toEqual([
      `computing on the CPU: the CUDA kernels have not been compiled: ${kernels} holds none (in a checkout pnpm build:cuda makes them, with nvcc; prebuilt packages carry them)`,
    ]);
  });
});
