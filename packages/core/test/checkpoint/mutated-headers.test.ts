import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, parseSafetensorsHeader, type SafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { DiffuseError } from '../../src/native/errors.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder, seededRandom } from './folders.ts';

const WIDTH: Readonly<Record<string, number>> = {
  ...{ F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, U8: 1, I8: 1, BOOL: 1 },
};

/** A file: length prefix, header text or bytes, then zeros for data. */
function fileOf(header: string | Uint8Array, dataBytes: number, announced?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

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
const seeds: readonly { json: string; dataBytes: number }[] = [
  ['safetensors', 'dtypes.safetensors'],
  ['safetensors', 'writable.safetensors'],
  ['safetensors', 'empty.safetensors'],
  ['unet-heads-tiny', 'fixture.safetensors'],
].map((parts) => {
  const bytes = readFileSync(golden(...parts));
  const length = Number(bytes.readBigUInt64LE(0));
  return { json: bytes.toString('utf8', 8, 8 + length), dataBytes: bytes.length - 8 - length };
});

type Random = () => number;
type Mutation = (seed: { json: string; dataBytes: number }, random: Random) => Uint8Array;

const pick = <T>(random: Random, choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;

/** Replaces one random match of a pattern. */
function replaceOne(text: string, pattern: RegExp, random: Random, by: (match: string) => string): string {
  const matches = [...text.matchAll(pattern)];
  if (matches.length === 0) return text;
  const match = pick(random, matches);
  return text.slice(0, match.index) + by(match[0]) + text.slice(match.index + match[0].length);
}

const oddNumbers = [
  '-1',
  '1.5',
  '1e3',
  '1e999',
  '01',
  '-0',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551616',
];
const oddValues = [
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '"F32"',
  '[[1]]',
  '"\\ud800"',
  '1',
  '{"a":1}',
  '\u0000',
  'NaN',
  '"\n"',
];

const mutations: Readonly<Record<string, Mutation>> = {
  truncation: ({ json, dataBytes }, random) => {
    const bytes = fileOf(json, dataBytes);
    return bytes.slice(0, Math.floor(random() ** 2 * bytes.length));
  },
  'surplus bytes': ({ json, dataBytes }, random) => fileOf(json, dataBytes + 1 + Math.floor(random() * 20)),
  'flipped bits': ({ json, dataBytes }, random) => {
    const bytes = fileOf(json, dataBytes);
    for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips -= 1) {
      const at = Math.floor(random() * (8 + json.length));
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
    }
    return bytes;
  },
  'lying header length': ({ json, dataBytes }, random) => {
    const near = BigInt(Math.max(0, json.length + Math.floor(random() * 40) - 20));
    const lies = [near, 0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 100_000_000n, 100_000_001n, BigInt(json.length + dataBytes)];
    return fileOf(json, dataBytes, pick(random, lies));
  },
  'lying numbers': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /\d+/g, random, (old) => pick(random, [...oddNumbers, String(Number(old) + 1), `${old}0`, ''])),
      dataBytes,
    ),
  'swapped offsets': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /\[(\d+),(\d+)\]/g, random, (old) => old.replace(/(\d+),(\d+)/, '$2,$1')),
      dataBytes,
    ),
  'lying dtypes': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /"[A-Z]+\d*"/g, random, () => pick(random, ['"F8_E4M3"', '"f32"', '"F64"', '"U8"', '1'])),
      dataBytes,
    ),
  'other values': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /:("[^"]*"|\[[\d,]*\]|\{)/g, random, () => `:${pick(random, oddValues)}`),
      dataBytes,
    ),
  'repeated keys': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /"[^"\\]+":("[^"]*"|\[[\d,]*\]|\{[^{}]*\})/g, random, (old) => `${old},${old}`),
      dataBytes,
    ),
  'lost keys': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /"[^"\\]+":("[^"]*"|\[[\d,]*\]|\{[^{}]*\}),?/g, random, () => ''),
      dataBytes,
    ),
  'deep nesting': ({ json, dataBytes }, random) => {
    const depth = Math.floor(10 ** (1 + random() * 4));
    const nest = pick(random, ['['.repeat(depth), '{"a":'.repeat(depth), `${'['.repeat(depth)}1${']'.repeat(depth)}`]);
    return fileOf(
      replaceOne(json, /\[[\d,]*\]|"[A-Z0-9]+"|\{/g, random, () => nest),
      dataBytes,
    );
  },
  'wrong UTF-8': ({ json, dataBytes }, random) => {
    const bytes = fileOf(json, dataBytes);
    const bad = pick(random, [
      [0xff],
      [0xc0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe2, 0x82],
      [0x80],
    ]);
    bytes.set(bad, 8 + Math.floor(random() * Math.max(1, json.length - bad.length)));
    return bytes;
  },
  'white space and commas': ({ json, dataBytes }, random) =>
    fileOf(
      replaceOne(json, /[{}[\],:]/g, random, (old) =>
        pick(random, [` ${old}\n\t`, `${old}${old}`, '', `\u00a0${old}`]),
      ),
      dataBytes,
    ),
  noise: ({ dataBytes }, random) =>
    fileOf(
      Uint8Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)),
      dataBytes,
    ),
};

describe('10,000 damaged headers', () => {
  const names = Object.keys(mutations);
  const each = Math.ceil(10_000 / names.length);

  test.each(names.map((name, i) => ({ name, seed: 1000 + i })))('$name', ({ name, seed }) => {
    const random = seededRandom(seed);
    const mutate = mutations[name] as Mutation;
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
      const first = (mutations[pick(random, names)] as Mutation)(pick(random, seeds), random);
      const json = new TextDecoder().decode(first.subarray(8));
      const second = (mutations[pick(random, names)] as Mutation)({ json, dataBytes: 0 }, random);
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
