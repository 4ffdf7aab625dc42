import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, parseSafetensorsHeader, type SafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { DiffuseError } from '../../src/native/errors.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder, seededRandom } from './folders.ts';
import { fileOf, headerMutations, type Mutation, pick, type Seed } from './header-mutations.ts';

const WIDTH: Readonly<Record<string, number>> = {
  ...{ F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, U8: 1, I8: 1, BOOL: 1 },
};

/** What the parser promises of every header that it accepts. */
function expectConsistent({ metadata, tensors }: SafetensorsHeader, bytes: Uint8Array): void {
  for (const [key, value] of Object.entries(metadata)) {
    expect(typeof key === 'string' && typeof value === 'string').toBe(true);
  }
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const ranges = [...tensors.values()].sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let position = 8 + length;
  for (const { dtype, shape, byteOffset, byteLength } of ranges) {
    expect(byteOffset).toBe(position);
    expect(shape.every((size) => Number.isSafeInteger(size) && size >= 0)).toBe(true);
    expect(byteLength).toBe(shape.reduce((product, size) => product * size, WIDTH[dtype] ?? Number.NaN));
    position += byteLength;
  }
  expect(position).toBe(bytes.length);
}

/** Parses; returns whether the header was accepted. Anything but acceptance or one ERR_CHECKPOINT line fails the test. */
function survives(bytes: Uint8Array): boolean {
  try {
    expectConsistent(parseSafetensorsHeader(bytes, bytes.length, 'file'), bytes);
    return true;
  } catch (error) {
    if (!(error instanceof DiffuseError)) throw error;
    expect(error.code).toBe('ERR_CHECKPOINT');
    expect(error.message).toMatch(/^file: [^\n]{1,400}$/);
    return false;
  }
}

/** Headers that real files have, to be damaged. Their data are cut to zeros, which no header depends on. */
const seeds: readonly Seed[] = [
  ['safetensors', 'dtypes.safetensors'],
  ['safetensors', 'writable.safetensors'],
  ['safetensors', 'empty.safetensors'],
  ['unet-heads-tiny', 'fixture.safetensors'],
].map((parts) => {
  const bytes = readFileSync(golden(...parts));
  const length = Number(bytes.readBigUInt64LE(0));
  return { json: bytes.toString('utf8', 8, 8 + length), dataBytes: bytes.length - 8 - length };
});

describe('10,000 damaged headers', () => {
  const names = Object.keys(headerMutations);
  const each = Math.ceil(10_000 / names.length);

  test.each(names.map((name, i) => ({ name, seed: 1000 + i })))('$name', ({ name, seed }) => {
    const random = seededRandom(seed);
    const mutate = headerMutations[name] as Mutation;
    let slowestMs = 0;
    let accepted = 0;
    for (let i = 0; i < each; i += 1) {
      const bytes = mutate(pick(random, seeds), random);
      const begin = performance.now();
      if (survives(bytes)) accepted += 1;
      slowestMs = Math.max(slowestMs, performance.now() - begin);
    }
    // Harmless damage exists (a changed letter in a name, white space), but it never is the rule.
    expect(accepted).toBeLessThan(each / 2);
    expect(slowestMs).toBeLessThan(1000);
  });

  test('the undamaged headers are accepted', () => {
    for (const { json, dataBytes } of seeds) expect(survives(fileOf(json, dataBytes))).toBe(true);
  });

  test('two of them in one file: damage on damage', () => {
    const random = seededRandom(77);
    for (let i = 0; i < 1000; i += 1) {
      const first = (headerMutations[pick(random, names)] as Mutation)(pick(random, seeds), random);
      const json = new TextDecoder().decode(first.subarray(8));
      const second = (headerMutations[pick(random, names)] as Mutation)({ json, dataBytes: 0 }, random);
      survives(second);
    }
  });
});

describe('each kind of damage has its own words', () => {
  const entry = (text: string): string => `{"a":${text}}`;
  const good = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}';

  test.each<[string, number, RegExp]>([
    ['[]', 0, /header does not begin with \{/],
    [' {}', 0, /header does not begin with \{/],
    ['{}', 1, /has bytes after the last tensor: the tensors end at byte 10, the file at byte 11/],
    ['{} x', 0, /has "x" after the header's last brace/],
    ['{', 0, /expected " for a key of the header at character 1 of the header, found the end of the header/],
    ['{"a', 0, /a key of the header has no closing quotation mark/],
    [entry('1'), 0, /expected \{ for tensor "a"/],
    [entry('{}'), 0, /tensor "a" lacks dtype/],
    [entry('{"dtype":"U8","shape":[2]}'), 2, /tensor "a" lacks data_offsets/],
    [`{"a":${good},"a":${good}}`, 2, /the header has the key "a" twice/],
    [entry('{"dtype":"U8","dtype":"U8"}'), 2, /tensor "a" has the key "dtype" twice/],
    [entry('{"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1}'), 2, /tensor "a" has the unknown key "x"/],
    [entry('{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}'), 2, /dtype "F8_E4M3"; expected one of F64/],
    [entry('{"dtype":"toString","shape":[2],"data_offsets":[0,2]}'), 2, /dtype "toString"; expected one of F64/],
    [
      entry('{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}'),
      2,
      /shape of tensor "a" holds "-2"; expected an integer/,
    ],
    [entry('{"dtype":"U8","shape":[9007199254740992],"data_offsets":[0,2]}'), 2, /holds "9007199254740992"/],
    [entry('{"dtype":"U8","shape":[94906267,94906267],"data_offsets":[0,2]}'), 2, /takes \d+ bytes as U8/],
    [entry('{"dtype":"U8","shape":[2],"data_offsets":[2,0]}'), 2, /data_offsets \[2, 0\]; expected \[begin, end\]/],
    [entry('{"dtype":"U8","shape":[2],"data_offsets":[0]}'), 2, /data_offsets \[0\]; expected/],
    [entry('{"dtype":"F32","shape":[2],"data_offsets":[0,2]}'), 2, /takes 8 bytes as F32 \[2\], not the 2 of its/],
    [
      entry('{"dtype":"U8","shape":[2],"data_offsets":[1,3]}'),
      3,
      /begins at data byte 1 and leaves a gap before it; expected 0/,
    ],
    [`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":${good}}`, 2, /"b" begins at data byte 1 and overlaps/],
    [entry(good), 1, /is cut off: the tensors end at byte \d+, the file at byte \d+/],
    ['{"__metadata__":{"a":1}}', 0, /expected " for the value of __metadata__\."a"/],
    ['{"__metadata__":null}', 0, /expected \{ for __metadata__/],
    ['{"__metadata__":{"a":"\\ud800"}}', 0, /no valid JSON string/],
    ['{"__metadata__":{"a":"\\x"}}', 0, /no valid JSON string/],
  ])('%s and %i bytes of data', async (json, dataBytes, message) => {
    const bytes = fileOf(json, dataBytes);
    const failure = await failureOf(() => parseSafetensorsHeader(bytes, bytes.length, 'weights'));
    expectDiffuseError(failure, 'ERR_CHECKPOINT', /^weights: /, message);
  });

  test('a header that is not UTF-8, one that is cut off, and one with a byte order mark', async () => {
    const parse = (bytes: Uint8Array, size = bytes.length) => failureOf(() => parseSafetensorsHeader(bytes, size, 'f'));
    const notText = fileOf(Uint8Array.of(0x7b, 0xff, 0x7d), 0);
    expectDiffuseError(await parse(notText), 'ERR_CHECKPOINT', /f: header is not UTF-8 text/);
    const cut = fileOf('{}', 0).subarray(0, 9);
    expectDiffuseError(await parse(cut, 10), 'ERR_CHECKPOINT', /f: header is cut off after 9 of 10 bytes/);
    expectDiffuseError(await parse(fileOf('\ufeff{}', 0)), 'ERR_CHECKPOINT', /does not begin with/);
  });

  test('names that mean something to JavaScript are only names', () => {
    const names = ['__proto__', 'constructor', 'toString', '', '0'];
    const json = names.map((n, i) => `"${n}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]}`).join(',');
    const bytes = fileOf(`{"__metadata__":{"__proto__":"x"},${json}}`, names.length);
    const { tensors, metadata } = parseSafetensorsHeader(bytes, bytes.length);
    expect([...tensors.keys()]).toEqual(names);
    expect(Object.entries(metadata)).toEqual([['__proto__', 'x']]);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('an opened file fails as its header does', async () => {
    const path = join(await scratchFolder(), 'bad.safetensors');
    await writeFile(path, fileOf('{"a":1}', 0));
    expectDiffuseError(
      await failureOf(() => openSafetensors(path)),
      'ERR_CHECKPOINT',
      path,
      'expected { for tensor "a"',
    );
  });
});
