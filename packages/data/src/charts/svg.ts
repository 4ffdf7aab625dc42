/** Attributes of an SVG element; those that are undefined are left out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** A picture that is not a document yet: it can be placed inside another. */
export interface Drawing {
  /** In pixels at scale 1. */
  readonly width: number;
  readonly height: number;
  /** SVG elements, in coordinates from (0, 0) to (width, height). */
  readonly body: string;
}

/** A coordinate as text: two decimals say where a line is on any screen, and equal pictures have equal bytes. */
export function coordinate(value: number): string {
  const text = value.toFixed(2).replace(/\.?0+$/, '');
  return text === '-0' ? '0' : text;
}

/** Text that may stand between tags or in an attribute. Characters that XML forbids become the replacement character. */
export function escapeText(text: string): string {
  const legal = text
    .replace(/[\p{Surrogate}\uFFFE\uFFFF]/gu, '\uFFFD')
    .replace(/[^\t\n\r\u0020-\u{10FFFF}]/gu, '\uFFFD');
  return legal.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** One element; `content` is SVG already. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? coordinate(value) : escapeText(String(value))}"`)
    .join('');
  return content === '' ? `<${name}${written}/>` : `<${name}${written}>${content}</${name}>`;
}

/** A straight line. */
export function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return element('path', {
    class: className,
    d: `M${coordinate(x1)} ${coordinate(y1)}L${coordinate(x2)} ${coordinate(y2)}`,
  });
}

/** A drawing moved to (x, y). */
export function place({ body }: Drawing, x: number, y: number): string {
  return element('g', { transform: `translate(${coordinate(x)} ${coordinate(y)})` }, body);
}
