import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { withAtomicFile, writeFileAtomic } from '../../src/checkpoint/atomic-file.ts';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { expectDiffuseError, failureOf, scratchFolder, seededRandom } from './folders.ts';

const run = promisify(execFile);
const writer = fileURLToPath(new URL('./endless-writer.ts', import.meta.url));
const repository = fileURLToPath(new URL('../../../..', import.meta.url));

describe('writeFileAtomic', () => {
  test('creates, replaces, and leaves nothing else', async () => {
    const folder = await scratchFolder();
    const path = join(folder, 'note.json');
    await writeFileAtomic(path, 'first – ✓');
    expect(await readFile(path, 'utf8')).toBe('first – ✓');
    await writeFileAtomic(path, Float32Array.of(1, 2));
    expect(Buffer.compare(await readFile(path), Buffer.from(Float32Array.of(1, 2).buffer))).toBe(0);
    expect(await readdir(folder)).toEqual(['note.json']);
  });

  test('concurrent writers of one name: one of the contents, whole', async () => {
    const folder = await scratchFolder();
    const path = join(folder, 'note');
    const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
    await Promise.all(contents.map((content) => writeFileAtomic(path, content)));
    expect(contents).toContain(await readFile(path, 'utf8'));
    expect(await readdir(folder)).toEqual(['note']);
  });

  test('names what the system refuses, and leaves nothing', async () => {
    const folder = await scratchFolder();
    await mkdir(join(folder, 'taken', 'full'), { recursive: true });
    const cases: [string, RegExp][] = [
      [join(folder, 'absent', 'note'), /no such file or directory/],
      [join(folder, 'taken'), /directory/],
      [join(folder, 'n'.repeat(300)), /name too long/],
    ];
    for (const [path, reason] of cases) {
      const failure = await failureOf(() => writeFileAtomic(path, 'content'));
      expectDiffuseError(failure, 'ERR_CHECKPOINT', `cannot write ${path}: `, reason);
      expect((failure as Error).cause).toBeInstanceOf(Error);
    }
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

describe('a write that fails', () => {
  test('leaves the old file as it was, and passes the error on', async () => {
    const folder = await scratchFolder();
    const path = join(folder, 'weights.safetensors');
    const tensor = { name: 'a', dtype: 'F32' as const, shape: [2] };
    await writeSafetensors(path, [{ ...tensor, data: () => Float32Array.of(1, 2) }]);
    const before = await readFile(path);
    const reason = new Error('the device is gone');
    const failing = [
      { ...tensor, data: () => Float32Array.of(3, 4) },
      { ...tensor, name: 'b', data: () => Promise.reject(reason) },
    ];
    expect(await failureOf(() => writeSafetensors(path, failing))).toBe(reason);
    expect(await failureOf(() => withAtomicFile(path, () => Promise.reject(reason)))).toBe(reason);
    expect((await readFile(path)).equals(before)).toBe(true);
    expect(await readdir(folder)).toEqual(['weights.safetensors']);
  });

  test.runIf(process.platform !== 'win32')(
    'when the disk takes no more bytes: one line, and the old file stays',
    async () => {
      // A file size limit fails a write half way, as a full disk does, without needing a disk to fill.
      const folder = await scratchFolder();
      const path = join(folder, 'weights.safetensors');
      await writeSafetensors(path, [{ name: 'a', dtype: 'U8', shape: [3], data: () => Uint8Array.of(1, 2, 3) }]);
      const before = await readFile(path);
      const command = 'ulimit -f 64; exec "$0" --import tsx "$1" "$2" 1';
      const { stdout } = await run('/bin/sh', ['-c', command, process.execPath, writer, path], { cwd: repository });
      expect(stdout).toContain(`ERR_CHECKPOINT cannot write ${path}: file too large`);
      expect((await readFile(path)).equals(before)).toBe(true);
      expect(await readdir(folder)).toEqual(['weights.safetensors']);
    },
  );
});

describe('leftovers of killed writers', () => {
  test('go with the next write; those of running writers stay', async () => {
    const folder = await scratchFolder();
    const { stdout } = await run(process.execPath, ['-e', 'console.log(process.pid)']);
    const dead = `.weights.safetensors.${stdout.trim()}.3.partial`;
    const living = `.weights.safetensors.${process.ppid}.1.partial`;
    const ours = `.weights.safetensors.${process.pid}.999999.partial`;
    const earlier = `.weights.safetensors.${process.pid}.999998.partial`;
    const unrelated = ['.hidden', 'weights.1.2.partial', '.weights.x.2.partial', '.weights.1.2.partially'];
    for (const name of [dead, living, ours, earlier, ...unrelated]) await writeFile(join(folder, name), 'x');
    // Of an earlier process that had the pid of this one, as happens in containers.
    await utimes(join(folder, earlier), 1_000_000_000, 1_000_000_000);
    await writeFileAtomic(join(folder, 'other.json'), '{}');
    expect((await readdir(folder)).sort()).toEqual([living, ours, ...unrelated, 'other.json'].sort());
  });

  test('a writer killed at random moments never leaves a broken file under the final name', async () => {
    const folder = await scratchFolder();
    const path = join(folder, 'weights.safetensors');
    const random = seededRandom(5);
    let leftovers = 0;
    let newest = 0;
    for (let round = 0; round < 12; round += 1) {
      const child = spawn(process.execPath, ['--import', 'tsx', writer, path, '1000000'], {
        cwd: repository,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data'); // the first file of this writer is complete
      await sleep(random() * 60);
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      expect(await exit).toEqual([null, 'SIGKILL']);
      leftovers += (await readdir(folder)).filter((name) => name.endsWith('.partial')).length > 0 ? 1 : 0;

      await using file = await openSafetensors(path);
      const version = Number(file.metadata.version);
      expect(version).toBeGreaterThanOrEqual(1);
      newest = Math.max(newest, version);
      expect([...file.tensors.keys()]).toEqual(['t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7']);
      for (const name of file.tensors.keys()) {
        const values = await file.readFloat32(name);
        expect(values).toHaveLength(2 ** 16);
        expect(values.every((value) => value === version)).toBe(true);
      }
    }
    // The kills did hit writers at work, and later than their first file.
    expect(leftovers).toBeGreaterThan(0);
    expect(newest).toBeGreaterThan(1);
    await writeFileAtomic(join(folder, 'other.json'), '{}');
    expect((await readdir(folder)).sort()).toEqual(['other.json', 'weights.safetensors']);
  });
});
