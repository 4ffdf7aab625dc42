import sharp, { type Metadata, type ResizeOptions, type Sharp } from 'sharp';
import { imageKind } from './file-kind.ts';
import type { Channels } from './settings.ts';

/** What the header of an image tells. */
export interface ImageFacts {
  /** Height and width in pixels, after the EXIF orientation is applied. */
  readonly height: number;
  readonly width: number;
  /** Whether it has one colour channel. */
  readonly grey: boolean;
}

/** A decoded image, and whether it had to be enlarged for it. */
export interface DecodedImage {
  /** uint8 [height, width, channels]. */
  readonly pixels: Uint8Array;
  readonly enlarged: boolean;
}

/** Content that is no sound image; `message` completes "the file …". */
export class UnreadableImage extends Error {}

/**
 * Reads the header of an image.
 *
 * @throws UnreadableImage when it has none.
 */
export async function inspectImage(content: Uint8Array): Promise<ImageFacts> {
  return facts(await readMetadata(content));
}

/**
 * Decodes an image: the first frame or page, turned as its EXIF orientation says, colours to sRGB. It is resized to
 * cover the target (Lanczos, on premultiplied alpha) and cropped around the centre. Transparency is laid on white
 * unless `channels` is 4. Samples of 16 bits keep all of them through the resize and are then rounded to 8 (value /
 * 257).
 *
 * @param content the file.
 * @throws UnreadableImage for damaged or truncated files and for samples other than 8 and 16 bits.
 */
export async function decodeImage(content: Uint8Array, target: TargetShape): Promise<DecodedImage> {
  const bytes = alwaysBytes.has(imageKind(content)) ? await decodeWithoutEnlarging(content, target) : undefined;
  return bytes ? { pixels: bytes, enlarged: false } : decodeKnowing(content, await readMetadata(content), target);
}

/** Height, width and channels of a decoded image. */
interface TargetShape {
  readonly height: number;
  readonly width: number;
  readonly channels: Channels;
}

/** Kinds of files whose samples have 8 bits, so that their header need not be read first: a tenth of the time. */
const alwaysBytes: ReadonlySet<string | undefined> = new Set(['JPEG', 'WebP', 'GIF']);

/** The pixels of an image of 8 bits, or `undefined` if it would have to be enlarged. */
async function decodeWithoutEnlarging(content: Uint8Array, target: TargetShape): Promise<Uint8Array | undefined> {
  const { height, width, channels } = target;
  const { data, info } = await inColour(resized(content, target, { withoutEnlargement: true }), channels)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch(unreadable);
  return info.height === height && info.width === width && info.channels === channels ? data : undefined;
}

async function decodeKnowing(content: Uint8Array, metadata: Metadata, target: TargetShape): Promise<DecodedImage> {
  const { height, width, channels } = target;
  const { height: fileHeight, width: fileWidth } = facts(metadata);
  const pipeline = resized(content, target, {});
  const decoded =
    metadata.depth === 'ushort'
      ? reduceTo8Bits(await decodeDeep(pipeline, metadata, channels), height * width, channels)
      : await inColour(pipeline, channels).raw().toBuffer().catch(unreadable);
  if (decoded.length !== height * width * channels) {
    throw new UnreadableImage(`decodes to ${decoded.length} bytes instead of ${height} x ${width} x ${channels}`);
  }
  return { pixels: decoded, enlarged: fileHeight < height || fileWidth < width };
}

function resized(content: Uint8Array, { height, width }: TargetShape, options: ResizeOptions): Sharp {
  // fastShrinkOnLoad would let the JPEG and WebP decoders do all of the shrinking, with a visibly coarser filter.
  return sharp(content)
    .autoOrient()
    .resize(width, height, { ...coverCentre, fastShrinkOnLoad: false, ...options });
}

/** Resizes one grey image the way {@link decodeImage} does. */
export async function resampleGrey(
  pixels: Uint8Array,
  from: readonly [height: number, width: number],
  to: readonly [height: number, width: number],
): Promise<Uint8Array> {
  return sharp(pixels, { raw: { height: from[0], width: from[1], channels: 1 } })
    .resize(to[1], to[0], coverCentre)
    .toColourspace('b-w')
    .raw()
    .toBuffer();
}

const coverCentre = { fit: 'cover', position: 'centre', kernel: 'lanczos3' } as const;

function inColour(pipeline: Sharp, channels: Channels): Sharp {
  return channels === 4
    ? pipeline.toColourspace('srgb').ensureAlpha()
    : pipeline.flatten({ background: '#fff' }).toColourspace(channels === 1 ? 'b-w' : 'srgb');
}

/**
 * uint16 [height, width, colours] or [height, width, colours + alpha]. Alpha stays, whatever `channels` says: sharp's
 * white is 65280 at this depth, so {@link reduceTo8Bits} lays it on white.
 */
async function decodeDeep(pipeline: Sharp, metadata: Metadata, channels: Channels): Promise<Uint16Array> {
  // Sharp brings 16-bit images with a colour profile to Display P3; the rest of the way to sRGB must be asked for.
  const toSrgb = metadata.hasProfile && channels !== 1 ? pipeline.withIccProfile('srgb') : pipeline;
  const data = await toSrgb
    .toColourspace(channels === 1 ? 'grey16' : 'rgb16')
    .raw({ depth: 'ushort' })
    .toBuffer()
    .catch(unreadable);
  // A copy, for the buffer may start at an odd address.
  return new Uint16Array(new Uint8Array(data).buffer);
}

/** Rounds 16-bit samples to 8 bits; what is transparent is laid on white unless `channels` is 4. */
function reduceTo8Bits(samples: Uint16Array, pixelCount: number, channels: Channels): Uint8Array {
  const bands = samples.length / pixelCount;
  const colours = channels === 1 ? 1 : 3;
  const hasAlpha = bands > colours;
  const reduced = new Uint8Array(pixelCount * channels);
  for (let pixel = 0; pixel < pixelCount; pixel++) {
    const alpha = hasAlpha ? (samples[pixel * bands + colours] as number) : 65_535;
    const cover = channels === 4 ? 1 : alpha / 65_535;
    for (let colour = 0; colour < colours; colour++) {
      const sample = samples[pixel * bands + colour] as number;
      reduced[pixel * channels + colour] = Math.round((sample * cover + 65_535 * (1 - cover)) / 257);
    }
    if (channels === 4) reduced[pixel * channels + 3] = Math.round(alpha / 257);
  }
  return reduced;
}

async function readMetadata(content: Uint8Array): Promise<Metadata> {
  try {
    const metadata = await sharp(content).metadata();
    if (metadata.depth !== 'uchar' && metadata.depth !== 'ushort') {
      throw new UnreadableImage(`has samples of type ${metadata.depth}; those of 8 and 16 bits are read`);
    }
    return metadata;
  } catch (error) {
    return unreadable(error);
  }
}

function facts({ autoOrient, space }: Metadata): ImageFacts {
  return { height: autoOrient.height, width: autoOrient.width, grey: space === 'b-w' || space === 'grey16' };
}

/** Turns the decoder's lines into one. */
function unreadable(error: unknown): never {
  if (error instanceof UnreadableImage) throw error;
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  throw new UnreadableImage(`is damaged or cannot be decoded: ${line.trim()}`, { cause: error });
}

/** Versions of the libraries that read and write images. */
export function imageLibraries(): { readonly sharp: string; readonly libvips: string } {
  return { sharp: sharp.versions.sharp ?? 'unknown', libvips: sharp.versions.vips };
}
