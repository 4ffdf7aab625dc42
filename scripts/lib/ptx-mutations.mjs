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

/** The lines that add to the address of the first array of shared memory of an entry, which is 0. */
function additionsToNothing(lines) {
  const found = new Set();
  let first;
  let ofNothing = new Set();
  for (const [index, line] of lines.entries()) {
    if (/\.entry\s/.test(line)) {
      first = undefined;
      ofNothing = new Set();
    }
    first ??= /^\s*\.shared\s.*\s([\w$]+)\[\d+\];/.exec(line)?.[1];
    const [, register, name] = /^\s*mov\.u(?:32|64)\s+(%\w+), ([A-Za-z_$][\w$]*);/.exec(line) ?? [];
    // Memory of a size that the launch says lies behind all arrays.
    if (register !== undefined && name === (first ?? name)) ofNothing.add(register);
    const [, addend] = /^\s*mad\.lo\.[su]\d+\s.*, (%\w+);/.exec(line) ?? [];
    if (ofNothing.has(addend)) found.add(index);
  }
  return found;
}

const integerWork =
  /^\s*(?:@!?%p\d+\s+)?(?:setp|add|sub|and|or|xor|shl|shr|mad|mul|min|max|selp|mov)\.[\w.]+\s+(%\w+), (.*);/;

/** The lines that compute with a half of a float64, or branch by one: kernels take none apart, functions of the library do. */
function workOnHalves(lines) {
  const found = new Set();
  let halves = new Set();
  for (const [index, line] of lines.entries()) {
    if (/\.entry\s/.test(line)) halves = new Set();
    const [, low, high] = /^\s*mov\.b64\s+\{(%\w+), (%\w+)\}, %fd\d+;/.exec(line) ?? [];
    if (low !== undefined) for (const half of [low, high]) if (half !== '%temp') halves.add(half);
    const [, branches] = /^\s*@!?(%p\d+)\s+bra/.exec(line) ?? [];
    const [, result, operands] = integerWork.exec(line) ?? [];
    if (![branches, ...(operands?.split(', ') ?? [])].some((register) => halves.has(register))) continue;
    found.add(index);
    if (result !== undefined) halves.add(result);
  }
  return found;
}

/** The lines whose result nothing reads. */
function unreadResults(lines) {
  const found = new Set();
  let uses = new Map();
  const end = () => {
    for (const { count, index } of uses.values()) if (count === 1) found.add(index);
    uses = new Map();
  };
  for (const [index, line] of lines.entries()) {
    if (/\.entry\s/.test(line)) end();
    if (/^\s*\.reg\b/.test(line)) continue;
    for (const [register] of line.matchAll(/%(?:p|r|rd|rs|f|fd)\d+\b/g)) {
      const use = uses.get(register);
      if (use) use.count++;
      else uses.set(register, { count: 1, index });
    }
  }
  end();
  return found;
}

/**
 * Whether a comparison of two integers does nothing but choose between the two, with other conditions or without: where they are equal the
 * choice is none.
 */
function choosesOne(lines, index) {
  const comparison = /^\s*setp\.(?:l[te]|g[te]|hi|hs|lo|ls)\.[su]\d+\s+(%p\d+), ([^,]+), ([^,]+);/.exec(lines[index]);
  if (!comparison) return false;
  const [, compared, ...numbers] = comparison;
  const onlyUse = (from, predicate) => {
    const pattern = new RegExp(`${predicate}\\b`);
    const uses = [];
    for (let i = from + 1; i < lines.length && !/\.entry\s/.test(lines[i]); i++)
      if (pattern.test(lines[i])) uses.push(i);
    return uses.length === 1 ? uses[0] : undefined;
  };
  let at = index;
  for (let predicate = compared; ; ) {
    at = onlyUse(at, predicate);
    if (at === undefined) return false;
    const [, joined] = /^\s*(?:and|or)\.pred\s+(%p\d+),/.exec(lines[at]) ?? [];
    if (joined === undefined) break;
    predicate = joined;
  }
  const [, ...choices] = /^\s*selp\.b\d+\s+%\w+, ([^,]+), ([^,]+), %p\d+;/.exec(lines[at]) ?? [];
  return choices.length === 2 && choices.every((choice) => numbers.includes(choice)) && choices[0] !== choices[1];
}

/** The comparisons of arguments with 0: sizes of tensors are 1 or more, so that a loop over one has a turn. */
function comparisonsOfSizes(lines) {
  const found = new Set();
  let parameters = new Set();
  for (const [index, line] of lines.entries()) {
    if (/\.entry\s/.test(line)) parameters = new Set();
    const [, loaded] = /^\s*ld\.param\.(?:v[24]\.)?[us]\d+\s+\{?([^[]+?)\}?, \[/.exec(line) ?? [];
    for (const register of loaded?.split(', ') ?? []) parameters.add(register);
    const [, converted, from] = /^\s*cvt\.[us]\d+\.[us]\d+\s+(%\w+), (%\w+);/.exec(line) ?? [];
    if (parameters.has(from)) parameters.add(converted);
    const [, compared] = /^\s*setp\.(?:gt|le)\.s\d+\s+%p\d+, (%\w+), 0;/.exec(line) ?? [];
    if (parameters.has(compared)) found.add(index);
  }
  return found;
}

/**
 * The indices of lines by which the compiler chooses between two ways to the same result, or guards against numbers that do not occur.
 * What the source says is not in them.
 */
function choicesOfTheCompiler(lines) {
  const found = new Set();
  const next = (from, pattern, most = 8) => {
    const at = lines.slice(from + 1, from + 1 + most).findIndex((line) => pattern.test(line));
    return at < 0 ? undefined : from + 1 + at;
  };
  for (const index of [...workOnHalves(lines), ...additionsToNothing(lines), ...unreadResults(lines)]) found.add(index);
  for (const [index, line] of lines.entries()) {
    // Is it a number?
    if (/^\s*setp\.(?:gtu|leu)\.f64\s+%p\d+, %fd\d+, 0d7FF0000000000000;/.test(line)) found.add(index);
    // Divisions of 64 bits are done in 32 where both numbers fit.
    const [, halves] = /^\s*and\.b64\s+(%rd\d+), %rd\d+, -4294967296;/.exec(line) ?? [];
    if (halves !== undefined) {
      found.add(index);
      if (/^\s*or\.b64\s/.test(lines[index - 1])) found.add(index - 1);
      const test = next(index, new RegExp(`setp\\.\\w+\\.s64\\s+%p\\d+, ${halves}, 0;`));
      if (test === undefined) continue;
      found.add(test);
      const branch = next(test, new RegExp(`@!?${/%p\d+/.exec(lines[test])[0]}\\s+bra`));
      if (branch === undefined) continue;
      found.add(branch);
      // What is between there and the other way.
      const [, label] = /bra\s+(\$\w+);/.exec(lines[branch]);
      const end = lines.findIndex((text, i) => i > branch && text.startsWith(`${label}:`));
      if (lines.slice(branch, end).some((text) => /^\s*(div|rem)\.[su]64/.test(text)))
        for (let i = branch; i < end; i++) found.add(i);
    }
    // Divisions of signed numbers by 2^k add 2^k - 1 to what is negative; what kernels divide so is not.
    const [, half, whole] = /^\s*shr\.u(?:32|64)\s+(%\w+), (%\w+), (?:31|63);/.exec(line) ?? [];
    if (half !== undefined && new RegExp(`^\\s*add\\.s(?:32|64)\\s+%\\w+, ${whole}, ${half};`).test(lines[index + 1]))
      found.add(index).add(index + 1);
    const [, sign] = /^\s*shr\.s(?:32|64)\s+(%\w+), %\w+, (?:31|63);/.exec(line) ?? [];
    const correction = sign && next(index, new RegExp(`^\\s*shr\\.u(?:32|64)\\s+%\\w+, ${sign}, `), 1);
    if (correction !== undefined) {
      found.add(index).add(correction);
      const register = /%\w+/.exec(lines[correction])[0];
      const sum = next(correction, new RegExp(`^\\s*add\\.s(?:32|64)\\s+%\\w+, %\\w+, ${register};`));
      if (sum !== undefined) found.add(sum);
    }
    // Functions of float64 go another way where an argument or the result is no normal number. exp:
    const beyond = /^\s*setp\.lt\.f32\s+%p\d+, %f\d+, 0f4086232B;/.test(line);
    // log:
    const subnormal = /^\s*setp\.gt\.s32\s+%p\d+, %r\d+, 1048575;/.test(line);
    if (beyond || subnormal) {
      const [, label] = /bra\s+(\$\w+);/.exec(lines[next(index, /bra/)]) ?? [];
      const end = lines.findIndex((text, i) => i > index && text.startsWith(`${label}:`));
      for (let i = index; i < end; i++) found.add(i);
    }
    if (/^\s*selp\.f64\s+%fd\d+, 0dFFF0000000000000,/.test(line)) found.add(index - 1);
    // expm1:
    if (/^\s*setp\.lt\.f32\s+%p\d+, %f\d+, 0f40862E43;/.test(line)) {
      const end = next(index, /bra/);
      for (let i = index; i <= end; i++) found.add(i);
    }
    // sincospi, where no whole turn is left to take off:
    if (/^\s*setp\.lt\.u32\s+%p\d+, %r\d+, -2038431743;/.test(line)) {
      const [, label] = /bra\s+(\$\w+);/.exec(lines[next(index, /bra/)]) ?? [];
      const end = lines.findIndex((text, i) => i > index && text.startsWith(`${label}:`));
      for (let i = index; i < end; i++) found.add(i);
    }
  }
  return found;
}

/**
 * The place in the source of every line, by the compiler's line information. Where that says line 0, the compiler has put together what
 * comes next: it belongs to the next line that there is. A comparison belongs to its branch, which often has a line of its own.
 */
function placesOf(lines) {
  const files = new Map();
  for (const line of lines) {
    const [, number, path] = /^\s*\.file\s+(\d+)\s+"([^"]+)"/.exec(line) ?? [];
    if (number !== undefined) files.set(number, path);
  }
  const places = [];
  let place = { file: '', sourceLine: 0 };
  let waiting = [];
  for (const [index, text] of lines.entries()) {
    const [, file, sourceLine] = /^\s*\.loc\s+(\d+)\s+(\d+)/.exec(text) ?? [];
    if (file !== undefined) place = { file: files.get(file) ?? '', sourceLine: Number(sourceLine) };
    if (place.sourceLine === 0) {
      waiting.push(index);
      continue;
    }
    for (const before of waiting) places[before] = place;
    waiting = [];
    places[index] = place;
  }
  for (const before of waiting) places[before] = place;
  for (const [index, text] of lines.entries()) {
    const [, predicate] = /^\s*setp\.\S+\s+(%p\d+),/.exec(text) ?? [];
    if (predicate === undefined) continue;
    const isBranch = new RegExp(`^\\s*@!?${predicate}\\s+bra\\b`);
    const branch = lines.slice(index + 1, index + 9).findIndex((line) => isBranch.test(line));
    if (branch >= 0) places[index] = places[index + 1 + branch];
  }
  return places;
}

/**
 * All mutants of a text of PTX, in the order of its lines.
 *
 * @returns `{ entry, change, index, line, from, to, file, sourceLine }`: `index` of the line from 0, `file` and `sourceLine` by line information
 */
export function mutantsOf(ptx) {
  const lines = ptx.split('\n');
  const mutants = [];
  const left = choicesOfTheCompiler(lines);
  const ofSizes = comparisonsOfSizes(lines);
  const places = placesOf(lines);
  let entry;
  for (const [index, text] of lines.entries()) {
    const begin = /\.entry\s+(\w+)/.exec(text);
    if (begin) entry = begin[1];
    if (entry === undefined || left.has(index)) continue;
    const [, indent, guard = '', instruction] = /^(\s*\{?\s*)(@!?%\w+\s+)?(.*?)\s*$/.exec(text);
    const add = (change, to) =>
      mutants.push({ entry, change, index, from: text.trim(), to: `${indent}${to}`, ...places[index] });
    if (guard !== '') {
      const flipped = guard.startsWith('@!') ? guard.replace('@!', '@') : guard.replace('@', '@!');
      add('flipped predicate', `${flipped}${instruction}`);
    }
    for (const change of changes) {
      for (const [name, to] of change(instruction)) {
        const isOfEquals = to.startsWith('setp.') && name !== 'shifted bound';
        if (isOfEquals && (ofSizes.has(index) || choosesOne(lines, index))) continue;
        add(name, to === '' ? '' : `${guard}${to}`);
      }
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
