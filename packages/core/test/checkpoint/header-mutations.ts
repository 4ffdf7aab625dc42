/** A header and how many bytes of data it speaks of. */
export interface Seed {
  readonly json: string;
  readonly dataBytes: number;
}

/** A file: length prefix, header text or bytes, then zeros for data. */
export function fileOf(header: string | Uint8Array, dataBytes: number, announced?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

/** Numbers in [0, 1). */
export type Random = () => number;

/** Damages a header; returns the whole file, zeros for data. */
export type Mutation = (seed: Seed, random: Random) => Uint8Array;

/** One of a list. */
export const pick = <T>(random: Random, choices: readonly T[]): T =>
  choices[Math.floor(random() * choices.length)] as T;

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

/** Kinds of damage by name. */
export const headerMutations: Readonly<Record<string, Mutation>> = {
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
