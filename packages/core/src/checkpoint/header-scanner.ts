/** Throws the error for a problem that it puts into words. */
export type Fail = (problem: string) => never;

/** Reads the tokens of the header; each method skips white space, consumes what it names or fails with a line. */
export interface Scanner {
  /** An object without repeated keys; `visit` consumes the value of each key. */
  object(what: string, visit: (key: string) => void): void;
  string(what: string): string;
  /** An array of non-negative integers below 2^53. */
  integers(what: string): number[];
  /** Nothing but white space is left. */
  end(): void;
}

/**
 * A scanner for the part of JSON that safetensors headers use: objects, strings and arrays of non-negative integers.
 *
 * @param text the header.
 * @param fail throws the error for a problem.
 */
export function createScanner(text: string, fail: Fail): Scanner {
  let position = 0;

  const peek = (): string => {
    while (' \n\r\t'.includes(text[position] ?? '.')) position += 1;
    return text[position] ?? '';
  };
  const accept = (character: string): boolean => {
    if (peek() !== character) return false;
    position += 1;
    return true;
  };
  const expect = (character: string, what: string): void => {
    if (accept(character)) return;
    const found = position < text.length ? quote(text.slice(position, position + 12)) : 'the end of the header';
    fail(`expected ${character} for ${what} at character ${position} of the header, found ${found}`);
  };

  const string = (what: string): string => {
    expect('"', what);
    const begin = position;
    let escaped = false;
    for (; text[position] !== '"'; position += 1) {
      if (position >= text.length) fail(`${what} has no closing quotation mark`);
      if (text[position] === '\\') {
        escaped = true;
        position += 1;
      }
    }
    const raw = text.slice(begin, position);
    position += 1;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what JSON forbids in strings.
    if (!escaped && !/[\u0000-\u001f]/.test(raw)) return raw;
    try {
      const value: unknown = JSON.parse(`"${raw}"`);
      if (typeof value === 'string' && !/\p{Surrogate}/u.test(value)) return value;
    } catch {
      // falls through to the line below
    }
    return fail(`${what} is ${quote(raw)}, which is no valid JSON string`);
  };

  const integer = (what: string): number => {
    peek();
    const token = /[^\s,\]}]*/y;
    token.lastIndex = position;
    const raw = token.exec(text)?.[0] ?? '';
    const value = Number(raw);
    if (!/^(0|[1-9]\d*)$/.test(raw) || !Number.isSafeInteger(value)) {
      fail(`${what} holds ${quote(raw)}; expected an integer from 0 to 2^53 - 1`);
    }
    position += raw.length;
    return value;
  };

  return {
    string,
    object(what, visit) {
      const keys = new Set<string>();
      expect('{', what);
      if (accept('}')) return;
      do {
        const key = string(`a key of ${what}`);
        if (keys.has(key)) fail(`${what} has the key ${quote(key)} twice`);
        keys.add(key);
        expect(':', `the value of ${quote(key)}`);
        visit(key);
      } while (accept(','));
      expect('}', `the end of ${what}`);
    },
    integers(what) {
      const values: number[] = [];
      expect('[', what);
      if (accept(']')) return values;
      do values.push(integer(what));
      while (accept(','));
      expect(']', `the end of the ${what}`);
      return values;
    },
    end() {
      if (peek() !== '') fail(`has ${quote(text.slice(position, position + 12))} after the header's last brace`);
    },
  };
}

/** A text in quotation marks for an error message, on one line and not long. */
export function quote(text: string): string {
  return JSON.stringify(excerpt(text));
}

/** The beginning of a text for an error message. */
export function excerpt(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
