import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nativeInfo } from '../../src/native/device.ts';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('../../../..', import.meta.url));

let copy: string;
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'diffuse-build-id-'));
  for (const folder of ['native/cuda', 'cuda/ops'])
    await cp(join(root, folder), join(copy, folder), { recursive: true });
});
afterAll(() => rm(copy, { recursive: true, force: true }));

/** The build id as the build of the addon gets it, of the copy. */
async function buildId(): Promise<string | undefined> {
  const file = join(copy, 'build-id.cc');
  await execute(process.execPath, [join(root, 'scripts/cuda-build-id.mjs'), file, '--root', copy]);
  return /kBuildId = "(\w+)"/.exec(await readFile(file, 'utf8'))?.[1];
}

/** The id after one file has been changed, which is taken back afterwards. */
async function changed(path: string, change: (text: string) => string): Promise<string | undefined> {
  const file = join(copy, path);
  const text = await readFile(file, 'utf8');
  await writeFile(file, change(text));
  expect(await readFile(file, 'utf8')).not.toBe(text);
  try {
    return await buildId();
  } finally {
    await writeFile(file, text);
  }
}

test('addon and images are of one build where the launches are the same', async () => {
  const id = nativeInfo().cuda.build;
  expect(await buildId()).toBe(id);
  expect(await changed('native/cuda/arguments/silu.h', (text) => text.replace('View y, x;', 'View x, y;'))).not.toBe(
    id,
  );
  expect(await changed('native/cuda/ops/silu.cc', (text) => text.replace('silu_forward_', 'silu_'))).not.toBe(id);
  expect(await changed('native/cuda/tiling.h', (text) => text.replace('* 32)', '* 64)'))).not.toBe(id);
});

test('bodies of kernels, comments and layout make no other build', async () => {
  const id = nativeInfo().cuda.build;
  expect(await changed('cuda/ops/silu.cu', (text) => text.replace('silu<T>', '-silu<T>'))).toBe(id);
  expect(await changed('native/cuda/arguments/silu.h', (text) => `// Said anew.\n\n${text}`)).toBe(id);
  expect(await changed('native/cuda/ops/silu.cc', (text) => text.replaceAll('  ', '\t'))).toBe(id);
});
