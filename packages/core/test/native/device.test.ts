import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/graph/graph.ts';
import { fill, scale } from '../../src/graph/ops/elementwise.ts';
import { compile, type Program } from '../../src/graph/program.ts';
import { addonPath, loadAddon } from '../../src/native/addon.ts';
import { type Device, openDevice } from '../../src/native/device.ts';

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** A program that takes a while: many passes over some megabytes. */
function slowProgram(device: Device): Program<'y'> {
  const graph = new Graph();
  let y = fill(graph, [1 << 20], 1);
  for (let i = 0; i < 400; i++) y = scale(y, 1.0001);
  return compile(graph, { device, outputs: { y } });
}

describe('openDevice', () => {
  test('names what it opened', async () => {
    using device = await openDevice('auto', { threads: 3 });
    expect(device.name).toBe(`cpu ${loadAddon().isas[0]}`);
    expect(device.threads).toBe(3);
    expect(device.precision).toBe('fp32');
  });

  test.each([
    [() => openDevice('gpu' as never), 'ERR_DEVICE', "there is no device 'gpu'"],
    [() => openDevice('cpu', { threads: -1 }), 'ERR_ARGUMENT', 'threads is -1'],
    [() => openDevice('cpu', { convolution: 'fft' as never }), 'ERR_ARGUMENT', "convolution is 'fft'"],
    [
      () => openDevice('cpu', { precision: 'fp16' as never }),
      'ERR_ARGUMENT',
      "precision is 'fp16'; it must be one of fp32, bf16, bf16-fast",
    ],
    [() => openDevice('cpu', { precision: 'toString' as never }), 'ERR_ARGUMENT', "precision is 'toString'"],
    [() => openDevice('cpu', { threads: 1.5 }), 'ERR_ARGUMENT', 'threads is 1.5'],
    [
      () => openDevice('cpu', { isa: 'sse9' }),
      'ERR_DEVICE',
      "instruction set 'sse9' is not available on this CPU; available:",
    ],
  ])('refuses what there is not: case %#', async (open, code, message) => {
    await expect(open()).rejects.toMatchObject({
      name: 'DiffuseError',
      code,
      message: expect.stringContaining(message),
    });
  });

  test('a missing addon is one error that lists what was tried', async () => {
    const script =
      "import { openDevice } from '@diffuse/core'; openDevice().catch((e) => console.log(e.code, e.message));";
    const env = { ...process.env, DIFFUSE_NATIVE: '/nowhere/addon.node' };
    const { stdout } = await run('npx', ['tsx', '--conditions=@diffuse/source', '-e', script], {
      env,
      cwd: join(here, '../../../..'),
    });
    expect(stdout).toMatch(/^ERR_NATIVE no native addon for .*; tried\n {2}\/nowhere\/addon\.node: /);
  });
});

describe('buffers', () => {
  test('are zeroed, written, read, bounded and disposed', async () => {
    using device = await openDevice('cpu', { memoryLimit: 1 << 20 });
    const buffer = device.allocate(64);
    expect(await buffer.read(0, 16)).toEqual(new Float32Array(16));
    await buffer.write(3, Float32Array.of(1, 2));
    expect([...(await buffer.read(2, 4))]).toEqual([0, 1, 2, 0]);
    await expect(buffer.read(15, 2)).rejects.toMatchObject({ code: 'ERR_SHAPE' });
    await expect(buffer.write(-1, Float32Array.of(1))).rejects.toMatchObject({ code: 'ERR_SHAPE' });
    expect(() => device.allocate(1 << 21)).toThrow('does not fit');
    expect(device.allocatedBytes).toBe(64);
    buffer.dispose();
    buffer.dispose();
    expect(device.allocatedBytes).toBe(0);
    await expect(buffer.read(0, 1)).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  });
});

describe('life and death', () => {
  test('a run is cancelled within 50 ms and the device goes on', async () => {
    using device = await openDevice('cpu');
    using program = slowProgram(device);
    const controller = new AbortController();
    const pending = program.run({ signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 10));
    const begin = performance.now();
    controller.abort();
    await expect(pending).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    expect(performance.now() - begin).toBeLessThan(50);
    expect((await program.run()).y).toHaveLength(1 << 20);
    await expect(program.run({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });

  test('device and program may be disposed while a run is under way', async () => {
    const device = await openDevice('cpu');
    const program = slowProgram(device);
    const pending = program.run();
    program.dispose();
    device.dispose();
    expect((await pending).y).toHaveLength(1 << 20);
    expect(() => device.allocate(1)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
  });

  test('memory of handles that nobody holds is given back', async () => {
    const { stdout } = await run('npx', [
      'tsx',
      '--expose-gc',
      '--conditions=@diffuse/source',
      join(here, 'collect.ts'),
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ grown: expect.any(Number) });
    expect(JSON.parse(stdout).grown).toBeLessThan(64 * 2 ** 20);
  });

  test('a process that exits does not wait for what is held of a closed device', async () => {
    const script = `import { openDevice } from '@diffuse/core';
      openDevice('cpu').then((device) => {
        globalThis.kept = device.allocate(64);
        device.dispose();
        process.on('exit', () => console.log(Date.now()));
        process.exit();
      });`;
    const { stdout } = await run('npx', ['tsx', '--conditions=@diffuse/source', '-e', script], {
      cwd: join(here, '../../../..'),
    });
    // It would wait for ten seconds.
    expect(Date.now() - Number(stdout)).toBeLessThan(8000);
  });

  // The worker is the first and only one in its process to load the addon, so that its exit would unmap it.
  test.each(['idle', 'busy'])('an addon loaded in a worker survives the exit of the worker (%s)', async (when) => {
    const { stdout } = await run('node', [join(here, 'worker-exit.mjs'), addonPath(), when]);
    expect(stdout.trim()).toBe('alive');
  });

  test('a worker has a device of its own', async () => {
    using device = await openDevice('cpu');
    const buffer = device.allocate(4);
    const code = `const { parentPort } = require('node:worker_threads');
      const device = require(${JSON.stringify(addonPath())}).openDevice({ kind: 'cpu', threads: 2, isa: '' });
      device.allocate(8).read(0, 8).then((bytes) => parentPort.postMessage(bytes.byteLength));`;
    const worker = new Worker(code, { eval: true });
    expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(8);
    await worker.terminate();
    expect(await buffer.read(0, 1)).toEqual(new Float32Array(1));
  });
});
