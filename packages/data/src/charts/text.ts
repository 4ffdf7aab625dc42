import { glyphData } from './glyphs.ts';
import { coordinate, element, escapeText } from './svg.ts';

/** Sizes of text in pixels. */
export const textSizes = { title: 17, subtitle: 13, label: 13, tick: 12 } as const;

/** How a text stands. */
export interface TextOptions {
  /** Font size in pixels. */
  readonly size: number;
  /** Which point of the text is at x. Default `start`. */
  readonly anchor?: 'start' | 'middle' | 'end';
  /** `strong` or `soft` of the theme; or give `colour`. */
  readonly tone?: 'strong' | 'soft';
  readonly colour?: string;
}

/**
 * A line of text with its base line at y. {@link outlineTexts} finds it again by the order of its attributes.
 */
export function text(content: string, x: number, y: number, options: TextOptions): string {
  const { size, anchor = 'start', tone = 'soft', colour } = options;
  return element(
    'text',
    {
      x,
      y,
      'font-size': size,
      'text-anchor': anchor,
      ...(colour === undefined ? { class: tone } : { fill: colour }),
    },
    escapeText(content),
  );
}

interface Glyph {
  /** In thousandths of the font size. */
  readonly advance: number;
  readonly outline: string;
}

let glyphs: ReadonlyMap<string, Glyph> | undefined;

function readGlyphs(): ReadonlyMap<string, Glyph> {
  const entries = glyphData.split(/\n(?! )/).map((entry): [string, Glyph] => {
    const [code = '', advance = '', ...outline] = entry.split(' ');
    return [
      String.fromCodePoint(Number.parseInt(code, 16)),
      { advance: Number(advance), outline: outline.join(' ').replace(/\n */g, '') },
    ];
  });
  return new Map(entries);
}

/** Characters without an outline are taken to be as wide as wide letters. */
const unknownAdvance = 600;

/** Width in pixels of a text of the given font size. A viewer's own font may be some percent wider. */
export function textLength(content: string, size: number): number {
  glyphs ??= readGlyphs();
  let sum = 0;
  for (const character of content) sum += glyphs.get(character)?.advance ?? unknownAdvance;
  return (sum * size) / 1000;
}

const textElement = /<text x="([^"]+)" y="([^"]+)" font-size="([^"]+)" text-anchor="(\w+)"([^>]*)>([^<]*)<\/text>/g;

const shifts: Readonly<Record<string, number>> = { start: 0, middle: 0.5, end: 1 };

/**
 * Draws the texts of an SVG as outlines: a picture has the same letters on every machine, also on one without any fonts. Texts with
 * characters that there are no outlines for stay texts.
 */
export function outlineTexts(svg: string): string {
  glyphs ??= readGlyphs();
  const known = glyphs;
  return svg.replace(
    textElement,
    (whole, x: string, y: string, size: string, anchor: string, rest: string, escaped) => {
      const content = unescapeText(escaped as string);
      if (![...content].every((character) => known.has(character))) return whole;
      const left = Number(x) - (shifts[anchor] ?? 0) * textLength(content, Number(size));
      const scale = Number(size) / 1000;
      let pen = 0;
      let outline = '';
      for (const character of content) {
        const glyph = known.get(character) as Glyph;
        if (glyph.outline !== '') outline += `M${pen} 0${glyph.outline}`;
        pen += glyph.advance;
      }
      return `<path transform="translate(${coordinate(left)} ${y}) scale(${scale})"${rest} d="${outline}"/>`;
    },
  );
}

function unescapeText(escaped: string): string {
  return escaped.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
}
