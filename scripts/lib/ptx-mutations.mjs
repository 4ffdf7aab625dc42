// Small wrongs that a kernel's tests should notice, as changes of one line of its PTX.

/** Bytes of a type of PTX: `f32`, `b8`, `bf16x2`. */
const bytesOf = (type) => (/x2$/.test(type) ? 2 : 1) * (Number(/\d+/.exec(type.replace(/x2$/, ''))?.[0] ?? 8) / 8);

const opposite = {
  lt: 'le',
  le: 'lt',
  gt: 'ge',
  ge: 'gt',
  lo: 'ls',
  ls: 'lo',
  hi: 'hs',
  hs: 'hi',
  eq: 'ne',
  ne: 'eq',
  ltu: 'leu',
  leu: 'ltu',
  gtu: 'geu',
  geu: 'gtu',
  equ: 'neu',
  neu: 'equ',
};
const operators = { add: 'sub', sub: 'add', min: 'max', max: 'min', and: 'or', or: 'and', shl: 'shr.u', shr: 'shl.b' };

/** Each takes an instruction without its guard and returns what it may become, with the name of the change. */
const changes = [
  (line) => (/^(bar|barrier)\.(cta\.)?sync\b/.test(line) ? [['deleted barrier', '']] : []),
  (line) => (/^bar\.warp\.sync\b/.test(line) ? [['deleted barrier of the warp', '']] : []),
  (line) => (/^cp\.async\.wait_(group|all)\b/.test(line) ? [['deleted wait for cp.async', '']] : []),
  (line) => {
    const found = /^(setp\.\w+\.[usb]\d+\s.*,\s*)(-?\d+);$/.exec(line);
    return found ? [['shifted bound', `${found[1]}${Number(found[2]) + 1};`]] : [];
  },
  (line) => {
    const found = /^setp\.(\w+)(\.[usbf]+\d+\s.*)$/.exec(line);
    const other = found && opposite[found[1]];
    return other ? [[`${found[1]} became ${other}`, `setp.${other}${found[2]}`]] : [];
  },
  (line) => {
    const found = /^(add|sub|min|max)(\.(?:r[nzmp]\.)?(?:ftz\.)?[usf]\d+\s.*)$/.exec(line);
    return found ? [[`${found[1]} became ${operators[found[1]]}`, `${operators[found[1]]}${found[2]}`]] : [];
  },
  (line) => {
    const found = /^(and|or)(\.(?:pred|b\d+)\s.*)$/.exec(line);
    return found ? [[`${found[1]} became ${operators[found[1]]}`, `${operators[found[1]]}${found[2]}`]] : [];
  },
  (line) => {
    const found = /^(shl|shr)\.[usb](\d+\s.*)$/.exec(line);
    return found ? [[`${found[1]} became ${operators[found[1]]}`, `${operators[found[1]]}${found[2]}`]] : [];
  },
  (line) => {
    const found = /^(fma\.rn|mad\.lo)(\.(?:ftz\.)?[usf]\d+\s.*),[^,]+;$/.exec(line);
    if (!found) return [];
    const multiply = found[1] === 'fma.rn' ? 'mul.rn' : 'mul.lo';
    return [['dropped addend', `${multiply}${found[2]};`]];
  },
  (line) => {
    const found = /^(mul(?:\.rn)?)(\.f\d+\s.*)$/.exec(line);
    return found ? [['mul became add', `add.rn${found[2]}`]] : [];
  },
  (line) => {
    // Parameters are left alone: their offsets are the compiler's.
    const found =
      /^((?:ld|st)\.(?:volatile\.)?(?:global|shared|local)(?:\.\w+)*?(?:\.v([248]))?\.(\w+)\s.*\[)([^\]+]+)(?:\+(-?\d+))?(\].*)$/.exec(
        line,
      );
    if (!found) return [];
    const [, before, lanes = '1', type, base, offset = '0', after] = found;
    const shifted = Number(offset) + Number(lanes) * bytesOf(type);
    return [['shifted address', `${before}${base}+${shifted}${after}`]];
  },
];

/**
 * All mutants of a text of PTX, in the order of its lines.
 *
 * @returns `{ entry, change, index, line, from, to, file, sourceLine }`: `index` of the line from 0, `file` and `sourceLine` by line information
 */
export function mutantsOf(ptx) {
  const lines = ptx.split('\n');
  const files = new Map();
  for (const [, number, path] of ptx.matchAll(/^\s*\.file\s+(\d+)\s+"([^"]+)"/gm)) files.set(number, path);
  const mutants = [];
  // Divisions of 64 bits are done in 32 where the numbers allow it: the compiler's choice, which does not change results.
  let shortcut;
  let entry;
  let place = { file: '', sourceLine: 0 };
  for (const [index, text] of lines.entries()) {
    const begin = /\.entry\s+(\w+)/.exec(text);
    if (begin) entry = begin[1];
    const location = /^\s*\.loc\s+(\d+)\s+(\d+)/.exec(text);
    // Line 0 is code that belongs to no line.
    if (location && Number(location[2]) > 0)
      place = { file: files.get(location[1]) ?? '', sourceLine: Number(location[2]) };
    if (entry === undefined) continue;
    shortcut = /^\s*and\.b64\s+(%rd\d+),.*-4294967296;/.exec(text)?.[1] ?? shortcut;
    const test = shortcut && new RegExp(`setp\\.\\w+\\.s64\\s+(%p\\d+), ${shortcut}, 0;`).exec(text);
    if (test) {
      shortcut = test[1];
      continue;
    }
    if (shortcut?.startsWith('%p') && text.includes(`@${shortcut} bra`)) {
      shortcut = undefined;
      continue;
    }
    const [, indent, guard = '', instruction] = /^(\s*\{?\s*)(@!?%\w+\s+)?(.*?)\s*$/.exec(text);
    const add = (change, to) =>
      mutants.push({ entry, change, index, from: text.trim(), to: `${indent}${to}`, ...place });
    if (guard !== '') {
      const flipped = guard.startsWith('@!') ? guard.replace('@!', '@') : guard.replace('@', '@!');
      add('flipped predicate', `${flipped}${instruction}`);
    }
    for (const change of changes) {
      for (const [name, to] of change(instruction)) add(name, to === '' ? '' : `${guard}${to}`);
    }
  }
  return mutants;
}

/** The text with one mutant in it. */
export function withMutant(ptx, { index, to }) {
  const lines = ptx.split('\n');
  lines[index] = to;
  return lines.join('\n');
}

/**
 * As many mutants as asked for, by a seed, in the order of their lines. Every kind of change gets its turn, and of what the compiler has
 * unrolled from one line of the source one copy stands for all.
 */
export function chooseMutants(mutants, count, seed) {
  const random = generator(seed);
  const shuffled = mutants
    .map((mutant) => ({ mutant, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ mutant }) => mutant);
  const kinds = new Map();
  const seen = new Set();
  for (const mutant of shuffled) {
    const group = `${mutant.entry} ${mutant.change} ${mutant.file}:${mutant.sourceLine}`;
    if (seen.has(group)) continue;
    seen.add(group);
    if (!kinds.has(mutant.change)) kinds.set(mutant.change, []);
    kinds.get(mutant.change).push(mutant);
  }
  const chosen = [];
  while (chosen.length < count && [...kinds.values()].some((kind) => kind.length > 0)) {
    for (const kind of kinds.values()) {
      if (kind.length > 0 && chosen.length < count) chosen.push(kind.pop());
    }
  }
  return chosen.sort((a, b) => a.index - b.index);
}

/** Mulberry32: numbers from 0 to 1, the same for a seed. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
