import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  openSafetensors,
  type SafetensorsSource,
  type WritableDtype,
  writeSafetensors,
} from '../../src/checkpoint/safetensors.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder } from './folders.ts';

let folder = '';
beforeAll(async () => {
  folder = await scratchFolder();
});

/** Opens a file, reads every tensor as raw bytes, and makes sources that write the same file. */
async function copyOf(
  path: string,
): Promise<{ sources: SafetensorsSource[]; metadata: Readonly<Record<string, string>> }> {
  await using file = await openSafetensors(path);
  const inDataOrder = [...file.tensors].sort(
    ([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength,
  );
  const sources: SafetensorsSource[] = [];
  for (const [name, { dtype, shape }] of inDataOrder) {
    const values = await file.read(name);
    sources.push({ name, dtype: dtype as WritableDtype, shape, data: () => values });
  }
  return { sources, metadata: file.metadata };
}

describe('files of the reference implementation', () => {
  test('every dtype arrives in an array of its own', async () => {
    await using file = await openSafetensors(golden('safetensors', 'dtypes.safetensors'));
    const base = [0, 1, 2, 3, 4, 5];
    const shifted = base.map((value) => value - 3);
    const expected = {
      F64: Float64Array.from(shifted),
      F32: Float32Array.from(shifted),
      I64: BigInt64Array.from(shifted, BigInt),
      I32: Int32Array.from(shifted),
      I16: Int16Array.from(shifted),
      I8: Int8Array.from(shifted),
      U64: BigUint64Array.from(base, BigInt),
      U32: Uint32Array.from(base),
      U16: Uint16Array.from(base),
      U8: Uint8Array.from(base),
      BOOL: Uint8Array.from(base, (value) => value % 2),
    };
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [name, values] of Object.entries(expected)) {
      expect(file.tensors.get(name)).toMatchObject({ dtype: name, shape: [2, 3] });
      expect(await file.read(name)).toEqual(values);
    }
    expect(await file.readFloat32('F64')).toEqual(Float32Array.from(shifted));
    expectDiffuseError(await failureOf(() => file.readFloat32('I32')), 'ERR_CHECKPOINT', 'dtypes.safetensors', 'I32');
    expectDiffuseError(await failureOf(() => file.read('absent')), 'ERR_CHECKPOINT', 'dtypes.safetensors', 'absent');
  });

  test('all 65536 patterns of both 16-bit formats widen as in PyTorch', async () => {
    await using file = await openSafetensors(golden('safetensors', 'half-precision.safetensors'));
    for (const name of ['half', 'brain']) {
      const values = await file.readFloat32(name);
      expect(values).toHaveLength(65536);
      expect(await file.read(name)).toEqual(values);
      const numbers = values.filter((value) => !Number.isNaN(value));
      const bits = new Int32Array(numbers.buffer);
      let checksum = 0;
      bits.forEach((bit, i) => {
        checksum += (((bit % 65521) + 65521) % 65521) * ((i + 1) % 1009);
      });
      expect([BigInt(checksum)]).toEqual([...((await file.read(`${name}.checksum`)) as BigInt64Array)]);
      const finite = BigInt(values.filter(Number.isFinite).length);
      expect([finite]).toEqual([...((await file.read(`${name}.finite`)) as BigInt64Array)]);
    }
  });

  test('odd names, a scalar, an empty tensor and special values', async () => {
    await using file = await openSafetensors(golden('safetensors', 'writable.safetensors'));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect(await file.read('step')).toEqual(BigInt64Array.of(-(2n ** 62n) - 1n));
    expect(file.tensors.get('step')?.shape).toEqual([]);
    expect(file.tensors.get('empty')).toMatchObject({ shape: [0, 7], byteLength: 0 });
    expect(await file.read('empty')).toEqual(new Float32Array(0));
    expect(await file.read('gewöhnlich "quoted" \\ \t 雪 😀')).toEqual(Float32Array.of(0.5, 0.5));
    const special = [0, -0, Infinity, -Infinity, NaN, 2 ** -149, 3.4028234663852886e38];
    expect([...((await file.read('special')) as Float32Array)]).toEqual(special);
  });

  test('a file without tensors', async () => {
    await using file = await openSafetensors(golden('safetensors', 'empty.safetensors'));
    expect(file.tensors.size).toBe(0);
    expect(file.metadata).toEqual({});
  });

  test.each([
    ['safetensors', 'writable.safetensors'],
    ['safetensors', 'empty.safetensors'],
    ['unet-ddpm-tiny', 'unet', 'diffusion_pytorch_model.safetensors'],
    ['unet-heads-tiny', 'unet', 'diffusion_pytorch_model.safetensors'],
  ])('%s/%s written again is the same file, byte for byte', async (...parts) => {
    const original = golden(...parts);
    const copy = join(folder, 'copy.safetensors');
    const { sources, metadata } = await copyOf(original);
    await writeSafetensors(copy, sources, metadata);
    expect((await readFile(copy)).equals(await readFile(original))).toBe(true);
  });
});

test('Python reads what diffuse writes, and writes what diffuse reads', async ({ skip }) => {
  const python = process.env.PYTHON ?? skip('PYTHON does not name an interpreter with safetensors and numpy');
  const ours = join(folder, 'ours.safetensors');
  const theirs = join(folder, 'theirs.safetensors');
  const sources: SafetensorsSource[] = [
    { name: 'b', dtype: 'U8', shape: [3], data: () => Uint8Array.of(1, 2, 255) },
    { name: 'x/ß', dtype: 'F32', shape: [2, 2], data: () => Float32Array.of(0.1, -0, Infinity, 1e-45) },
    { name: 'd', dtype: 'F64', shape: [1], data: () => Float64Array.of(Math.PI) },
    { name: 'n', dtype: 'I64', shape: [], data: () => BigInt64Array.of(-(2n ** 63n)) },
    { name: 'i', dtype: 'I32', shape: [2], data: () => Int32Array.of(-7, 7) },
  ];
  await writeSafetensors(ours, sources, { step: '12', note: 'schöner Tag' });
  const script = [
    'import sys',
    'from safetensors import safe_open',
    'from safetensors.numpy import save_file',
    'with safe_open(sys.argv[1], "np") as f:',
    '    save_file({k: f.get_tensor(k) for k in f.keys()}, sys.argv[2], f.metadata())',
  ].join('\n');
  await promisify(execFile)(python, ['-c', script, ours, theirs]);
  await using file = await openSafetensors(theirs);
  expect(file.metadata).toEqual({ step: '12', note: 'schöner Tag' });
  for (const { name, dtype, shape, data } of sources) {
    expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
    expect(await file.read(name)).toEqual(await data());
  }
});

describe('round trips', () => {
  const tensor = fc
    .record({
      dtype: fc.constantFrom<WritableDtype>('F64', 'F32', 'I64', 'I32', 'U8'),
      shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
      name: fc.string({ unit: 'grapheme', maxLength: 20 }).filter((name) => name !== '__metadata__'),
      seed: fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
    })
    .map(({ dtype, shape, name, seed }) => {
      const width = { F64: 8, F32: 4, I64: 8, I32: 4, U8: 1 }[dtype];
      const bytes = Uint8Array.from(seed.take(shape.reduce((product, size) => product * size, width)));
      return { dtype, shape, name, bytes };
    });
  const metadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 4 });

  test('any names, shapes, bytes and metadata come back in the given order', async () => {
    const path = join(folder, 'property.safetensors');
    const files = fc.uniqueArray(tensor, { maxLength: 6, selector: ({ name }) => name });
    await fc.assert(
      fc.asyncProperty(files, metadata, async (tensors, entries) => {
        await writeSafetensors(
          path,
          tensors.map(({ bytes, ...rest }) => ({ ...rest, data: () => bytes })),
          entries,
        );
        await using file = await openSafetensors(path);
        expect(Object.entries(file.metadata).sort()).toEqual(Object.entries(entries).sort());
        expect([...file.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
        let end: number | undefined;
        for (const { name, dtype, shape, bytes } of tensors) {
          const entry = file.tensors.get(name);
          expect(entry).toMatchObject({ dtype, shape, byteLength: bytes.length });
          expect(entry?.byteOffset).toBe(end ?? entry?.byteOffset);
          end = (entry?.byteOffset ?? 0) + bytes.length;
          const values = await file.read(name);
          expect(new Uint8Array(values.buffer)).toEqual(bytes);
        }
      }),
      { numRuns: 200, seed: 7 },
    );
  });

  test('the data begin at a multiple of 8', async () => {
    const path = join(folder, 'aligned.safetensors');
    for (let length = 1; length <= 9; length += 1) {
      const name = 'n'.repeat(length);
      await writeSafetensors(path, [{ name, dtype: 'U8', shape: [1], data: () => Uint8Array.of(9) }]);
      await using file = await openSafetensors(path);
      expect((file.tensors.get(name)?.byteOffset ?? 1) % 8).toBe(0);
    }
  });

  test('reads of one file may overlap, and closing twice is harmless', async () => {
    const file = await openSafetensors(golden('unet-ddpm-tiny', 'unet', 'diffusion_pytorch_model.safetensors'));
    const names = [...file.tensors.keys()].slice(0, 30);
    const together = await Promise.all(names.map((name) => file.read(name)));
    for (const [i, name] of names.entries()) expect(await file.read(name)).toEqual(together[i]);
    await Promise.all([file.close(), file.close()]);
    await file.close();
    expectDiffuseError(await failureOf(() => file.read(names[0] as string)), 'ERR_DISPOSED', 'closed');
  });
});

describe('the writer', () => {
  const good: SafetensorsSource = { name: 'a', dtype: 'F32', shape: [2], data: () => Float32Array.of(1, 2) };

  test.each<[string, SafetensorsSource[], RegExp]>([
    ['a repeated name', [good, good], /"a" is given twice/],
    ['the reserved name', [{ ...good, name: '__metadata__' }], /"__metadata__" needs another name/],
    ['half a surrogate pair', [{ ...good, name: 'x\ud800' }], /needs another name/],
    ['another dtype', [{ ...good, dtype: 'F16' as WritableDtype }], /dtype F16; expected F64, F32/],
    ['a negative size', [{ ...good, shape: [-2] }], /shape \[-2\]/],
    ['a fraction as size', [{ ...good, shape: [0.5, 4] }], /shape \[0.5, 4\]/],
    ['a product beyond 2^53', [{ ...good, shape: [2 ** 30, 2 ** 30] }], /below 2\^53 bytes/],
    ['too few elements', [{ ...good, shape: [3] }], /8 bytes came, but \[3\] is 3 elements of F32, 12 bytes/],
    [
      'elements of another type',
      [{ ...good, data: () => Int32Array.of(1, 2) }],
      /expected Float32Array or bytes for F32/,
    ],
  ])('refuses %s and leaves no file', async (_, sources, message) => {
    const path = join(await scratchFolder(), 'refused.safetensors');
    expectDiffuseError(await failureOf(() => writeSafetensors(path, sources)), 'ERR_ARGUMENT', message);
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  test('refuses metadata that are not text', async () => {
    const write = (metadata: Record<string, string>): Promise<void> =>
      writeSafetensors(join(folder, 'metadata.safetensors'), [], metadata);
    const number = { step: 3 as unknown as string };
    expectDiffuseError(await failureOf(() => write(number)), 'ERR_ARGUMENT', '"step" is number; expected a string');
    expectDiffuseError(await failureOf(() => write({ a: '\udfff' })), 'ERR_ARGUMENT', '"a" is not well-formed');
  });

  test('asks for one tensor at a time, and lets go of it', async () => {
    let alive = 0;
    const order: string[] = [];
    const sources = ['x', 'y', 'z'].map((name) => ({
      name,
      dtype: 'F32' as const,
      shape: [1000],
      data: async () => {
        alive += 1;
        expect(alive).toBe(order.length + 1);
        order.push(name);
        return new Float32Array(1000).fill(alive);
      },
    }));
    await writeSafetensors(join(folder, 'stream.safetensors'), sources);
    expect(order).toEqual(['x', 'y', 'z']);
  });
});

describe('what cannot be opened', () => {
  test('is one line with the path and the reason', async () => {
    const text = join(folder, 'text.safetensors');
    await writeFile(text, 'this is not a safetensors file, but text');
    const missing = join(folder, 'missing.safetensors');
    const loop = join(folder, 'loop.safetensors');
    await symlink(loop, loop);
    const short = join(folder, 'short.safetensors');
    await writeFile(short, 'abc');
    await mkdir(join(folder, 'folder.safetensors'));
    const cases: [string, RegExp][] = [
      [missing, /no such file/],
      [join(folder, 'folder.safetensors'), /not a regular file/],
      [join(text, 'below'), /not a directory/],
      [loop, /symbolic links/],
      [text, /header of \d+ bytes; at most 100000000/],
      [short, /is 3 bytes long/],
    ];
    for (const [path, reason] of cases) {
      expectDiffuseError(await failureOf(() => openSafetensors(path)), 'ERR_CHECKPOINT', path, reason);
    }
  });

  test('a file that shrinks while it is open', async () => {
    const path = join(folder, 'shrinks.safetensors');
    await writeSafetensors(path, [{ name: 'a', dtype: 'U8', shape: [100], data: () => new Uint8Array(100) }]);
    await using file = await openSafetensors(path);
    await truncate(path, 120);
    expectDiffuseError(await failureOf(() => file.read('a')), 'ERR_CHECKPOINT', path, /cut off at byte 120/);
  });

  test('a sparse file with a tensor beyond all memory', async () => {
    const path = join(folder, 'sparse.safetensors');
    const size = 2 ** 43;
    const header = `{"a":{"dtype":"U8","shape":[${size}],"data_offsets":[0,${size}]}}`.padEnd(96);
    await writeFile(path, Buffer.concat([Buffer.from(BigUint64Array.of(96n).buffer), Buffer.from(header)]));
    await truncate(path, 8 + 96 + size);
    await using file = await openSafetensors(path);
    expectDiffuseError(await failureOf(() => file.read('a')), 'ERR_CHECKPOINT', path, /does not fit into the memory/);
  });
});

test('reading and widening a large tensor leaves the event loop free', async () => {
  const path = join(folder, 'large.safetensors');
  const count = 2 ** 23;
  const values = new Float64Array(count).fill(0.1);
  await writeSafetensors(path, [{ name: 'a', dtype: 'F64', shape: [count], data: () => values }]);
  await using file = await openSafetensors(path);
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 0);
  const read = await file.readFloat32('a');
  clearInterval(timer);
  expect(read[count - 1]).toBe(Math.fround(0.1));
  // 64 pieces of conversion with a turn of the event loop after each; timers fire at most once a millisecond.
  expect(turns).toBeGreaterThan(8);
});
