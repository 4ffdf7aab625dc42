import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { findOnnxruntime } from '../src/peers/onnxruntime.ts';
import { peerFor } from '../src/peers/peer.ts';

const options = { threads: 1, precision: 'fp32', compile: false, quick: true } as const;
const fake = (env: Record<string, string> = {}) => ({
  program: process.execPath,
  args: [fileURLToPath(new URL('fake-peer.mjs', import.meta.url))],
  env: { FAKE_PEER_LOG: '/dev/null', ...env },
});

test('a network is exported, and the faster way of waiting is measured', async () => {
  const found = await findOnnxruntime(options, { runtime: fake(), exporter: fake() });
  if ('missing' in found) throw new Error(found.missing);
  const { peer } = found;
  expect(peerFor([peer], 'forward')).toBe(peer);
  expect(peerFor([peer], 'train-step')).toBeUndefined();
  const prepared = await peer.prepare({ kind: 'forward', config: {}, batch: 1 });
  expect(prepared).toMatchObject({ variant: 'sleeping', tried: { spinning: 20, sleeping: 15 } });
  expect(await prepared.run()).toBe(15);
  await prepared.release();
  await peer.close();
});

test('what is missing is said, with what would help', async () => {
  const message = async (commands: Parameters<typeof findOnnxruntime>[1]): Promise<string> => {
    const found = await findOnnxruntime(options, commands);
    return 'missing' in found ? found.missing : 'nothing is missing';
  };
  expect(await message({ runtime: fake({ FAKE_PEER_MISSING: 'no such package' }), exporter: fake() })).toBe(
    'onnxruntime: no such package; set ONNXRUNTIME to a folder that has onnxruntime-node in its node_modules',
  );
  expect(await message({ runtime: fake(), exporter: fake({ FAKE_PEER_MISSING: 'no torch' }) })).toMatch(
    /^onnxruntime: no torch; its networks are written by PyTorch: set PYTHON/,
  );
  expect(await message({ runtime: fake(), exporter: { program: '/no/such/python', args: [] } })).toContain(
    'cannot start /no/such/python',
  );
  vi.stubEnv('ONNXRUNTIME', '/no/such/folder');
  expect(await message(undefined)).toMatch(/^onnxruntime: Cannot find module 'onnxruntime-node'/);
  vi.unstubAllEnvs();
});

test('it is not asked for what it cannot be held to', async () => {
  expect(await findOnnxruntime({ ...options, isa: 'avx2' })).toEqual({
    missing: 'onnxruntime: it cannot be held to avx2',
  });
  expect(await findOnnxruntime({ ...options, precision: 'bf16' })).toHaveProperty('missing');
});
