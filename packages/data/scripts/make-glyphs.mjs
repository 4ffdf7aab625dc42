// Writes src/charts/glyphs.ts: the outlines of the characters that pictures are labelled with, taken from the typeface Source Sans 3.
// Run it with the two packages at hand, outside the project:
//
//   npm install opentype.js@1.3.4 @fontsource/source-sans-3@5.3.1 && node make-glyphs.mjs node_modules > glyphs.ts
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const modules = resolve(process.argv[2] ?? 'node_modules');
const opentype = createRequire(join(modules, 'x.js'))('opentype.js');

const fontOf = (subset, weight) => {
  const file = readFileSync(
    join(modules, `@fontsource/source-sans-3/files/source-sans-3-${subset}-${weight}-normal.woff`),
  );
  return opentype.parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
};
const regular = ['latin', 'greek', 'greek-ext'].map((subset) => fontOf(subset, 400));
const bolder = fontOf('latin', 600);

const range = (first, last) =>
  Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i)).join('');
const plain = `${range(0x20, 0x7e)}°±·×–—‘’“”…−αβγδεηθλμπσφΔΣᾱ`;

/** Raised and lowered characters are made from small, heavier ones, so that all look alike. */
const raised = Object.fromEntries([...'⁰¹²³⁴⁵⁶⁷⁸⁹⁻'].map((character, i) => [character, '0123456789−'[i]]));
const lowered = Object.fromEntries([...'₀₁₂₃₄₅₆₇₈₉₋ₜ'].map((character, i) => [character, '0123456789−t'[i]]));

function outlineOf(font, character, { scale = 1, rise = 0 } = {}) {
  const glyph = font.charToGlyph(character);
  let [x, y, startX, startY] = [0, 0, 0, 0];
  const point = (px, py) => [Math.round(px * scale), Math.round(-py * scale - rise)];
  const words = glyph.path.commands.map(({ type, x: toX, y: toY, x1, y1 }) => {
    if (type === 'Z') {
      [x, y] = [startX, startY];
      return 'z';
    }
    const to = point(toX, toY);
    const numbers = type === 'Q' ? [...point(x1, y1), ...to] : to;
    const relative = numbers.map((value, i) => value - (i % 2 ? y : x));
    [x, y] = to;
    if (type === 'M') [startX, startY] = to;
    if (relative.every((value) => value === 0)) return '';
    return `${type.toLowerCase()}${relative.join(' ').replace(/ -/g, '-')}`;
  });
  return { advance: Math.round(glyph.advanceWidth * scale), words };
}

const entries = [...new Set(plain + Object.keys(raised).join('') + Object.keys(lowered).join(''))].map((character) => {
  if (raised[character]) return [character, outlineOf(bolder, raised[character], { scale: 0.62, rise: 320 })];
  if (lowered[character]) return [character, outlineOf(bolder, lowered[character], { scale: 0.62, rise: -130 })];
  const font = regular.find((candidate) => candidate.charToGlyph(character).index > 0);
  if (!font) throw new Error(`no glyph for ${character}`);
  return [character, outlineOf(font, character)];
});

/** Breaks the commands of an outline into lines; those after the first begin with a space. */
function lines([character, { advance, words }]) {
  const out = [`${character.codePointAt(0).toString(16)} ${advance} `];
  for (const word of words) {
    if (out.at(-1).length + word.length > 118) out.push(' ');
    out[out.length - 1] += word;
  }
  return out.map((line) => line.trimEnd()).join('\n');
}

console.log(`/**
 * Outlines of the characters that pictures are labelled with, made by scripts/make-glyphs.mjs from Source Sans 3, copyright 2023
 * Adobe (http://www.adobe.com/), licensed under the SIL Open Font License 1.1 (licenses/source-sans-3.txt).
 *
 * An entry begins a line: code point in hexadecimal, advance width, outline; it goes on in lines that begin with a space. The outline is
 * SVG path data with relative commands, in thousandths of the font size, y downwards from the base line.
 */
export const glyphData: string = \`${entries.map(lines).join('\n')}\`;`);
