/** An element of a parsed document. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: XmlElement[];
  /** Its own text and that of its children. */
  text: string;
}

const token = /<!--[\s\S]*?-->|<\/([\w:-]+)\s*>|<([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
const reference = /&(?:#(\d+)|#x([\da-f]+)|amp|lt|gt|quot|apos);/gi;

/** Parses a document strictly. @throws Error where it is not well-formed. */
export function parseXml(source: string): XmlElement {
  const root: XmlElement = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  let end = 0;
  for (const match of source.matchAll(token)) {
    if (match.index !== end) break;
    end += match[0].length;
    const [, closing, opening, attributes = '', selfClosing, text] = match;
    const parent = open.at(-1) as XmlElement;
    if (text !== undefined) {
      for (const each of open) each.text += decoded(text);
    } else if (closing !== undefined) {
      if (open.pop()?.name !== closing) throw new Error(`</${closing}> closes nothing`);
    } else if (opening !== undefined) {
      const element: XmlElement = { name: opening, attributes: attributesOf(attributes), children: [], text: '' };
      parent.children.push(element);
      if (selfClosing === '') open.push(element);
    }
  }
  if (end !== source.length) throw new Error(`not well-formed: ${source.slice(end, end + 60)}`);
  if (open.length !== 1) throw new Error(`<${open.at(-1)?.name}> is not closed`);
  const [only, ...others] = root.children;
  if (!only || others.length > 0) throw new Error('a document has one root');
  return only;
}

/** All elements of a name, in their order. */
export function elements(root: XmlElement, name: string): XmlElement[] {
  return [...(root.name === name ? [root] : []), ...root.children.flatMap((child) => elements(child, name))];
}

/** What the texts of a document say. */
export function textsOf(svg: string): string[] {
  return elements(parseXml(svg), 'text').map(({ text }) => text);
}

function attributesOf(source: string): Record<string, string> {
  const pairs = [...source.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, decoded(value)]);
  const attributes = Object.fromEntries(pairs) as Record<string, string>;
  if (Object.keys(attributes).length !== pairs.length) throw new Error(`an attribute comes twice:${source}`);
  return attributes;
}

const names: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
};

function decoded(text: string): string {
  if (text.replace(reference, '').includes('&')) throw new Error(`a bare & in ${text}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML forbids them
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(text)) throw new Error('a control character');
  return text.replace(reference, (whole, decimal, hexadecimal) =>
    decimal || hexadecimal
      ? String.fromCodePoint(Number.parseInt(decimal ?? hexadecimal, decimal ? 10 : 16))
      : (names[whole.toLowerCase()] as string),
  );
}
