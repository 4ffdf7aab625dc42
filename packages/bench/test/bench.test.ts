import { Graph, plan } from '@diffuse/core';
import { expect, test, vi } from 'vitest';
import { kernelSignature } from '../../core/src/native/kernels.ts';
import type { RunRequest } from '../src/arguments.ts';
import { runBench } from '../src/bench.ts';
import { benchConfigs, benchModel } from '../src/configs.ts';
import { buildOp, isAtEnds } from '../src/ours/op-graphs.ts';
import { opSession } from '../src/ours/op-session.ts';
import type { Peer, PreparedWork, Work } from '../src/peers/peer.ts';
import { resultProblem } from '../src/result.ts';
import { type BenchContext, compareWithPeer } from '../src/suites/suite.ts';

const request: RunRequest = {
  ...{ command: 'run', suites: [], configs: ['S'], peers: [], json: undefined },
  ...{ device: 'cpu', precision: 'fp32', tf32: false, isa: undefined, only: '' },
  ...{ quick: true, compile: false, threads: 1 },
};

/** Does nothing, and says that it took 3 ms. */
function idlePeer(): Peer {
  const prepared: PreparedWork = {
    pid: process.pid,
    variant: 'idle',
    run: async () => 3,
    release: async () => undefined,
  };
  return {
    ...{ name: 'idle', version: '1', kinds: ['op'], notes: ['it does nothing'] },
    close: vi.fn(async () => undefined),
    prepare: async () => prepared,
  };
}

test('the networks are those of the published sizes', () => {
  const counts = benchConfigs().map((config) =>
    benchModel(config).parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
  );
  expect(counts).toEqual([3_939_393, 24_318_083, 35_746_307]);
});

test('a missing peer is a note of the result, not an error', async () => {
  const findPeer = async (): Promise<{ missing: string }> => ({ missing: 'pytorch: nowhere' });
  const { result, complete } = await runBench({ ...request, peers: ['pytorch'] }, { findPeer });
  expect(result.notes).toEqual(['no peer: pytorch: nowhere']);
  expect(complete).toBe(true);
  expect(resultProblem(JSON.parse(JSON.stringify(result)))).toBeUndefined();
  expect(result.machine.threads).toBe(1);
});

test('the suite forward brings its own peer, if any is asked for', async () => {
  const asked: string[] = [];
  const findPeer = async (name: string): Promise<{ missing: string }> => {
    asked.push(name);
    return { missing: `${name}: nowhere` };
  };
  const forward = { ...request, suites: ['forward'], only: 'no such case' };
  await runBench({ ...forward, peers: ['pytorch'] }, { findPeer });
  expect(asked).toEqual(['pytorch', 'onnxruntime']);
  await runBench(forward, { findPeer });
  expect(asked).toHaveLength(2);
});

test('a peer is closed at the end', async () => {
  const peer = idlePeer();
  const { result } = await runBench({ ...request, peers: ['pytorch'] }, { findPeer: async () => ({ peer }) });
  expect(peer.close).toHaveBeenCalledOnce();
  expect(result.notes).toEqual(['it does nothing']);
});

const small: Work & { kind: 'op' } = { kind: 'op', repeats: 2, op: 'matmul', size: 64 };

test('a real op is timed against a peer', async () => {
  const session = await opSession(small, { threads: 1 });
  session.repeat(2);
  const context: BenchContext = {
    ...{ device: { threads: 1 }, configs: [], quick: true },
    precision: 'fp32',
    ...{ peers: [idlePeer()], peakGflops: 10 },
  };
  const row = await compareWithPeer(context, {
    ...{ suite: 'ops', name: 'small', ours: session, work: small, rounds: 3, flops: 2 * 64 ** 3 },
    asked: { atLeast: 1e9 },
  });
  session.dispose();
  expect(row.ours.medianMs).toBeGreaterThan(0);
  expect(row.ours.peakBytes).toBeGreaterThanOrEqual(3 * 64 * 64 * 4);
  expect(row.peer).toMatchObject({ name: 'idle', variant: 'idle', precision: 'fp32', medianMs: 3 });
  expect(row.goals).toEqual([{ name: 'ratio', value: row.ratio, better: 'higher', limit: 1e9, holds: false }]);
  expect(row.ratio).toBeCloseTo(3 / row.ours.medianMs, 10);
  expect(row.fractionOfPeak).toBeCloseTo((2 * 64 ** 3) / (row.ours.medianMs * 1e6) / 10, 10);
});

test.each([
  { op: 'conv2d', part: 'forward', batch: 2, channels: 8, outputs: 4, height: 8, width: 8 },
  { op: 'conv2d', part: 'data gradient', batch: 2, channels: 8, outputs: 4, height: 8, width: 8 },
  { op: 'conv2d', part: 'weight gradient', batch: 2, channels: 8, outputs: 4, height: 8, width: 8 },
  { op: 'group-norm-silu', part: 'forward', batch: 2, channels: 8, height: 8, width: 8, groups: 2 },
  { op: 'group-norm-silu', part: 'backward', batch: 2, channels: 8, height: 8, width: 8, groups: 2 },
  { op: 'attention', part: 'forward', batch: 2, heads: 1, tokens: 16, channels: 8 },
  { op: 'attention', part: 'forward and backward', batch: 2, heads: 1, tokens: 16, channels: 8 },
  { op: 'resnet-block', batch: 2, channels: 16, height: 8, width: 8, groups: 2 },
  { op: 'update', parameters: 1000 },
] as const)('$op $part runs and takes time', async (shape) => {
  const session = await opSession(shape, { threads: 1 });
  expect(await session.run()).toBeGreaterThan(0);
  session.dispose();
});

test.each([
  { op: 'conv2d', part: 'forward', batch: 2, channels: 16, outputs: 32, height: 8, width: 8 },
  { op: 'conv2d', part: 'data gradient', batch: 2, channels: 16, outputs: 32, height: 8, width: 8 },
  { op: 'conv2d', part: 'weight gradient', batch: 2, channels: 16, outputs: 32, height: 8, width: 8 },
  { op: 'group-norm-silu', part: 'forward', batch: 2, channels: 16, height: 8, width: 8, groups: 2 },
  { op: 'group-norm-silu', part: 'backward', batch: 2, channels: 16, height: 8, width: 8, groups: 2 },
  { op: 'attention', part: 'forward', batch: 2, heads: 1, tokens: 16, channels: 16 },
  { op: 'attention', part: 'forward and backward', batch: 2, heads: 1, tokens: 16, channels: 16 },
  { op: 'resnet-block', batch: 2, channels: 32, height: 8, width: 8, groups: 2 },
] as const)('in bf16, $op $part has all its images in bf16', async (shape) => {
  const graph = new Graph();
  const { results } = buildOp(graph, (name, size) => graph.external(name, size, name, 0), shape, 'bf16');
  const placements = new Map(results.map((value, i) => [value, { buffer: `result ${i}`, offset: 0 }]));
  const { nodes, storageOf } = plan(graph, [], placements, { images: 'bf16' });
  const inside = nodes.filter(({ kernel }) => !isAtEnds(kernel));
  for (const { kernel, inputs, outputs } of inside) {
    const images = kernelSignature(kernel).tensors.filter(({ dtype }) => dtype === 'image');
    for (const { name } of images) {
      const value = inputs.get(name) ?? outputs.get(name);
      if (value) expect(storageOf(value), `${kernel}, ${name}`).toBe('bf16');
    }
  }
  // What is not counted stands at the ends alone: a call and its cast for each image that comes in or goes out.
  const count = (kernel: string): number => nodes.filter((node) => node.kernel === kernel).length;
  expect(count('cast')).toBe(count('scale'));
  const session = await opSession(shape, { threads: 1, precision: 'bf16' });
  expect(await session.run()).toBeGreaterThan(0);
  session.dispose();
});

test('an instruction set is that of the device; what starts the command line tool is skipped', async () => {
  const { result } = await runBench({ ...request, suites: ['startup'], isa: 'avx2' });
  expect(result.machine).toMatchObject({ heldTo: 'avx2', device: expect.stringContaining('avx2') });
  expect(result.notes).toEqual(['startup: skipped: it starts the command line tool, which takes no instruction set']);
});
