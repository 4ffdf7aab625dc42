import { fillNormal, gaussianDiffusion, Purpose, type Schedule } from '@diffuse/core';
import { type CaptionedRowsOptions, type ImageRow, openImages, type RawImage, readImage } from '@diffuse/data';
import { usageError } from '../failure.ts';
import { parseImageSize } from '../settings/kinds.ts';
import type { PlotFlags } from '../settings/plot-settings.ts';
import { schedulesFrom } from './schedules.ts';

/** Rows of images and how they are captioned. */
export interface CaptionedPicture {
  readonly rows: readonly ImageRow[];
  readonly options: CaptionedRowsOptions;
}

/**
 * `plot forward`: x_t = sqrt(alphaBar_t) x_0 + sqrt(1 - alphaBar_t) eps at growing t (Ho et al. 2020, eq. (4), arXiv:2006.11239). One eps
 * for all columns of all rows, so that what differs is the level alone.
 *
 * @throws Failure for flags that do not fit each other; DiffuseError `ERR_DATA`, `ERR_ARGUMENT` for images that cannot be read.
 */
export async function drawForward(flags: PlotFlags): Promise<CaptionedPicture> {
  const schedules = await schedulesFrom(flags, ['linear']);
  const steps = schedules[0]?.steps ?? 1;
  const timesteps = timestepsOf(flags, steps);
  const images = await imagesOf(flags);
  if (schedules.length > 1 && images.length > 1) {
    throw usageError(
      'plot forward shows several images or several schedules, not both; give one of --images or --schedule',
    );
  }
  const eps = new Float32Array(images[0]?.data.length ?? 0);
  fillNormal(eps, { seed: flags.seed ?? 0, purpose: Purpose.evaluationNoise, step: 0, sample: 0 });
  const rows = images.flatMap((image) =>
    schedules.map((schedule) => ({
      images: strip(image, schedule, timesteps, eps),
      ...(schedules.length > 1 && { label: schedule.name }),
    })),
  );
  const [only, ...others] = schedules;
  const level = (t: number): string[] =>
    only && others.length === 0 ? [`ᾱ ${levelText(only.alphaBar[t] as number)}`] : [];
  const captions = [['clean'], ...timesteps.map((t) => [`t ${t}`, ...level(t)])];
  return { rows, options: { captions, scale: Math.max(1, Math.floor(96 / (images[0]?.shape[0] ?? 96))) } };
}

/** @throws Failure for timesteps that the schedule does not have. */
function timestepsOf({ at, columns = 10 }: PlotFlags, steps: number): readonly number[] {
  if (at === undefined) {
    const count = Math.min(columns - 1, steps);
    return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * steps) / count) - 1);
  }
  const beyond = at.find((t) => t >= steps);
  if (beyond !== undefined) throw usageError(`--at must be from 0 to ${steps - 1}, the last timestep; got ${beyond}`);
  return at;
}

/** The clean images, all of one size. */
async function imagesOf({ from, data, images = [0], resolution, cacheDir }: PlotFlags): Promise<readonly RawImage[]> {
  if ((from === undefined) === (data === undefined)) {
    throw usageError('plot forward needs an image: --from IMAGE, or --data with a folder of images or an IDX file');
  }
  const size = resolution === undefined ? {} : { resolution: parseImageSize(resolution) };
  if (from !== undefined) return [await readImage(from, size)];
  const cache = cacheDir === undefined ? {} : { cacheDirectory: cacheDir };
  using dataset = await openImages(data as string, { ...size, ...cache });
  const beyond = images.find((index) => index >= dataset.count);
  if (beyond !== undefined) {
    throw usageError(`--images must be from 0 to ${dataset.count - 1}, the last image of ${data}; got ${beyond}`);
  }
  const [height = 1, width = 1, channels = 1] = dataset.shape;
  const pixels = new Uint8Array(images.length * height * width * channels);
  await dataset.read(Int32Array.from(images), pixels);
  const imageBytes = height * width * channels;
  return images.map((_, i) => ({
    data: pixels.subarray(i * imageBytes, (i + 1) * imageBytes),
    shape: [height, width, channels],
  }));
}

/** The clean image and its noisy versions, as one batch. */
function strip(
  image: RawImage,
  schedule: Schedule,
  timesteps: readonly number[],
  eps: Float32Array,
): ImageRow['images'] {
  const { qSample } = gaussianDiffusion({ schedule });
  const clean = Float32Array.from(image.data, (byte) => byte / 127.5 - 1);
  const data = new Float32Array(clean.length * (timesteps.length + 1));
  data.set(clean);
  timesteps.forEach((t, i) => {
    data.set(qSample(clean, t, eps), clean.length * (i + 1));
  });
  return { data, shape: [timesteps.length + 1, ...image.shape] };
}

/** `0.60`, `0.002`, `4×10⁻⁵`. */
function levelText(alphaBar: number): string {
  if (alphaBar >= 0.001) return alphaBar.toFixed(alphaBar >= 0.01 ? 2 : 3);
  const [digit, exponent = ''] = alphaBar.toExponential(0).split('e-');
  return alphaBar === 0
    ? '0'
    : `${digit}×10⁻${exponent.replace(/\d/g, (each) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(each)] as string)}`;
}
