import type { Diffusion, Given, Mask, Model, Sampler } from '@diffuse/core';
import type { Channels } from '@diffuse/data';
import { usageError } from '../failure.ts';
import type { Report } from '../terminal/report.ts';

/** The flags of an edit. */
export interface EditFlags {
  from?: string;
  strength?: number;
  mask?: string;
  resamples?: number;
  jump?: number;
}

/** Images to begin from, and what of them stays. */
export interface Edit {
  readonly given: Given;
  readonly mask?: Mask;
}

/** How far an image is noised when nothing is said: most of its layout stays, its details are new. */
const defaultStrength = 0.6;

/**
 * Reads what `--from`, `--strength` and `--mask` ask for. Every sample begins at the same image.
 *
 * @returns undefined without `--from`.
 * @throws Failure for flags that do not go together or a mask of another size; DiffuseError `ERR_DATA` for files that are no images.
 */
export async function readEdit(
  { from, strength, mask, resamples, jump }: EditFlags,
  { shape }: Model,
  count: number,
): Promise<Edit | undefined> {
  if (from === undefined) {
    for (const [flag, value] of Object.entries({ strength, mask, resamples, jump })) {
      if (value !== undefined) throw usageError(`--${flag} edits an image: it needs --from IMAGE`);
    }
    return undefined;
  }
  for (const [flag, value] of Object.entries({ resamples, jump })) {
    if (mask === undefined && value !== undefined) throw usageError(`--${flag} belongs to --mask`);
  }
  const images = repeated(await readModelImage(from, shape), count);
  if (mask === undefined) return { given: { images, strength: strength ?? defaultStrength } };
  if (strength !== undefined) throw usageError('--strength and --mask do not go together');
  const { readImage } = await loadData();
  const [height = 0, width = 0, channels = 0] = shape;
  const { data, shape: size } = await readImage(mask, { channels: 1 });
  if (size[0] !== height || size[1] !== width) {
    throw usageError(`--mask is ${size[0]} x ${size[1]}; the model draws images of ${height} x ${width}`);
  }
  // White stays, black is drawn anew; every channel alike.
  const values = Float32Array.from({ length: height * width * channels }, (_, i) => {
    return (data[Math.floor(i / channels)] as number) / 255;
  });
  return {
    given: { images },
    mask: {
      values: repeated(values, count),
      ...(resamples !== undefined && { resamples }),
      ...(jump !== undefined && { jump }),
    },
  };
}

/**
 * Holds a sampler against an edit.
 *
 * @throws Failure for a sampler that cannot go back and forth under a mask.
 */
export function checkEdit(edit: Edit | undefined, sampler: Sampler, diffusion: Diffusion, report: Report): void {
  if (!edit) return;
  const { given, mask } = edit;
  const { strength = 1 } = given;
  const steps = sampler.plan(diffusion, { strength }).length;
  if (steps === 0 && strength > 0) {
    report.warn(
      `--strength ${strength} of ${sampler.steps} steps rounds to none: the image stays as it is; give more --steps`,
    );
  }
  const remembers = sampler.plan(diffusion).some(({ history, older }) => history !== 0 || older !== 0);
  if (mask && mask.resamples !== 1 && remembers) {
    throw usageError(
      `--mask goes back and forth, which --sampler ${sampler.name} does not survive, as it remembers earlier steps: ` +
        'take ddpm, ddim or euler-ancestral, or --resamples 1',
    );
  }
}

/**
 * Reads an image as a model sees it: float32 of the model's shape, in [-1, 1].
 *
 * @throws DiffuseError `ERR_DATA` for a file that is no image.
 */
export async function readModelImage(path: string, shape: Model['shape']): Promise<Float32Array> {
  const { readImage } = await loadData();
  const [height = 0, width = 0, channels = 0] = shape;
  const { data } = await readImage(path, { resolution: [height, width], channels: channels as Channels });
  return Float32Array.from(data, (byte) => byte / 127.5 - 1);
}

// Loaded for edits alone: without, the first step would wait for the image library.
const loadData = () => import('@diffuse/data');

/** The same values for each of `count` samples. */
export function repeated(values: Float32Array, count: number): Float32Array {
  const all = new Float32Array(values.length * count);
  for (let i = 0; i < count; i++) all.set(values, i * values.length);
  return all;
}
