/** What is read, for messages. */
export const imageKinds = 'PNG, JPEG, WebP, AVIF, TIFF, GIF and SVG';

/** How much of a file {@link imageKind} wants to see. */
export const headBytes = 4096;

/** Brands of ISO base media files that hold still images: AVIF and its HEIF relatives. */
const heifBrands = ['avif', 'avis', 'mif1', 'msf1', 'heic', 'heix', 'heim', 'heis', 'hevc', 'hevx'];

const tiffMarks = ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'];

/**
 * Tells by its first bytes what kind of image a file holds; its name is not asked, so a JPEG called `.png` is read.
 *
 * @param head the first {@link headBytes} of the file, or all of a shorter one.
 * @returns the kind, or `undefined` when it is no image.
 */
export function imageKind(head: Uint8Array): string | undefined {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, headBytes)).toString('latin1');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'PNG';
  if (text.startsWith('\xff\xd8\xff')) return 'JPEG';
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a')) return 'GIF';
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'WebP';
  if (tiffMarks.includes(text.slice(0, 4))) return 'TIFF';
  if (text.slice(4, 8) === 'ftyp' && heifBrands.includes(text.slice(8, 12))) return 'AVIF';
  if (/^(\xef\xbb\xbf)?\s*<(\?xml|!--|!DOCTYPE svg|svg)/.test(text) && /<svg[\s>]/.test(text)) return 'SVG';
  return undefined;
}
