import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { alternate } from '../src/alternate.ts';
import { findTcmalloc } from '../src/peers/allocator.ts';
import { environments, limits } from '../src/peers/environments.ts';
import type { Peer, Work } from '../src/peers/peer.ts';
import { findPytorch } from '../src/peers/pytorch.ts';

const script = fileURLToPath(new URL('fake-peer.mjs', import.meta.url));
const work: Work = { kind: 'op', op: 'matmul', size: 8, repeats: 1 };
const options = { threads: 1, precision: 'bf16', compile: false, quick: true } as const;
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-test-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  vi.unstubAllEnvs();
});

const log = (): string[] => readFileSync(join(folder, 'log'), 'utf8').trim().split('\n');

async function fakePeer(variants: string, args: string[] = []): Promise<Peer> {
  const found = await find(variants, args);
  if ('missing' in found) throw new Error(found.missing);
  return found.peer;
}

function find(variants: string, args: string[] = [], env: Record<string, string> = {}): ReturnType<typeof findPytorch> {
  const own = { FAKE_PEER_LOG: join(folder, 'log'), FAKE_PEER_VARIANTS: variants, ...env };
  const command = { program: process.execPath, args: [script, ...args], env: own };
  return findPytorch(options, command);
}

test('a trial finds the fastest variant, which then alternates with ours', async () => {
  const peer = await fakePeer('slow fast broken');
  expect([peer.name, peer.version]).toEqual(['fake', '1.0']);
  const prepared = await peer.prepare(work);
  expect(prepared.variant).toBe('fast');
  expect(prepared.tried).toEqual({ slow: 30, fast: 10, broken: expect.stringContaining('not today') });
  const before = log().length;
  const order: string[] = [];
  const ours = {
    pid: process.pid,
    async run() {
      order.push(`ours after ${log().length - before} runs of the peer`);
      return 5;
    },
  };
  const times = await alternate(ours, prepared, { rounds: 3, settleMs: 0, judgeLoad: false });
  expect(order).toEqual([0, 1, 2, 3].map((runs) => `ours after ${runs} runs of the peer`));
  expect(times).toMatchObject({ ours: [5, 5, 5], peer: [10, 10, 10] });
  await prepared.release();
  await peer.close();
  expect(log()).toEqual([
    ...['hello bf16', 'variants'],
    ...['prepare slow', 'run', 'run', 'release', 'prepare fast', 'run', 'run', 'release', 'prepare broken'],
    ...['prepare fast', 'run', 'run', 'run', 'run', 'release'],
  ]);
});

test('when no variant works, the peer says why', async () => {
  const peer = await fakePeer('broken broken');
  await expect(peer.prepare(work)).rejects.toThrow('RuntimeError: not today');
  await peer.close();
});

test('memory is that of a fresh process', async () => {
  const peer = await fakePeer('slow fast');
  const trained = await peer.trainInFreshProcess?.({ kind: 'train-step', config: {}, batch: 1 }, 2);
  expect(trained).toMatchObject({ stepMs: [10, 10], variant: 'fast' });
  expect(trained?.peakBytes).toBeGreaterThan(1e6);
  await peer.close();
  expect(log().filter((line) => line.startsWith('hello'))).toHaveLength(2);
});

test('startup is the time until the first step is reported', async () => {
  const peer = await fakePeer('fast');
  expect(await peer.startup?.('some folder')).toBeGreaterThan(1);
  await peer.close();
});

test('a missing interpreter is said, with what would help', async () => {
  vi.stubEnv('PYTHON', '/no/such/python');
  const found = await findPytorch(options);
  expect(found).toEqual({
    missing:
      'pytorch: cannot start /no/such/python: spawn /no/such/python ENOENT; set PYTHON to an interpreter that has torch and diffusers',
  });
});

test('an interpreter without the library is said', async () => {
  const found = await find('fast', [], { FAKE_PEER_MISSING: "No module named 'torch'" });
  expect(found).toEqual({
    missing: "pytorch: No module named 'torch'; set PYTHON to an interpreter that has torch and diffusers",
  });
});

test('a peer that dies is said with its last words', async () => {
  const found = await find('fast', ['--dies']);
  expect('missing' in found && found.missing).toMatch(/it ended with code 139: Segmentation fault/);
});

test('environments are tried beside the default one, and a missing allocator is said', () => {
  expect([...environments(true, '/tc.so').byName.keys()]).toEqual(['']);
  const all = environments(false, '/tc.so');
  expect([...all.byName.keys()]).toEqual(['', ', bound threads', ', tcmalloc', ', tcmalloc, bound threads']);
  expect(all.byName.get(', tcmalloc')).toEqual({ LD_PRELOAD: '/tc.so' });
  expect(all.notes).toEqual([]);
  const without = environments(false, '');
  expect([...without.byName.keys()]).toEqual(['', ', bound threads']);
  expect(without.notes).toEqual(['no libtcmalloc was found, with which PyTorch may be faster; it was not tried']);
});

test('the allocator is looked for where distributions put it', () => {
  expect(findTcmalloc((path) => path === '/usr/lib64/libtcmalloc.so.4')).toBe('/usr/lib64/libtcmalloc.so.4');
  expect(findTcmalloc(() => false)).toBeUndefined();
});

test('an instruction set is held by what PyTorch and oneDNN read at their start', () => {
  expect(limits(2, undefined)).not.toHaveProperty('ATEN_CPU_CAPABILITY');
  expect(limits(2, 'avx2')).toMatchObject({
    ...{ OMP_NUM_THREADS: '2', ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2' },
  });
});
