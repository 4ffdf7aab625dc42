import type { Channels, ImageDataset, OpenImagesOptions } from '@diffuse/data';
import { usageError } from '../failure.ts';
import { parseImageSize } from '../settings/kinds.ts';
import type { TrainSettings } from '../settings/train-settings.ts';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';

/** The part of the settings that says what the images are. */
export type DataSettings = Partial<
  Pick<TrainSettings, 'data' | 'labels' | 'classes' | 'resolution' | 'channels' | 'strict' | 'cacheDir'>
>;

/** More names than this are counted only. */
const namedFiles = 10;

const tasks = { hash: 'reading', inspect: 'inspecting', decode: 'decoding' } as const;

/**
 * Opens the images of a run with progress; names and counts the files that were left out.
 *
 * @throws Failure without `--data`; DiffuseError `ERR_DATA`, `ERR_ARGUMENT`, `ERR_CANCELLED`.
 */
export async function openData(settings: DataSettings, report: Report, signal: AbortSignal): Promise<ImageDataset> {
  const { data, labels, classes, resolution, channels, strict, cacheDir } = settings;
  if (data === undefined) throw usageError('--data is missing: a folder of images or an IDX file to train on');
  const { openImages } = await import('@diffuse/data');
  let progress: Progress | undefined;
  let phase: keyof typeof tasks | undefined;
  const options: OpenImagesOptions = {
    ...(classes === 'folders' && { classes }),
    ...(labels !== undefined && { labels }),
    ...(resolution !== undefined && { resolution: parseImageSize(resolution) }),
    ...(channels !== undefined && { channels: channels as Channels }),
    ...(cacheDir !== undefined && { cacheDirectory: cacheDir }),
    ...(strict && { strict }),
    signal,
    onProgress({ phase: current, done, total, skipped }) {
      if (current !== phase) progress = report.progress(tasks[current], total);
      phase = current;
      progress?.update(done, skipped > 0 ? { skipped: String(skipped) } : {});
    },
  };
  const images = await openImages(data, options).finally(() => progress?.end());
  describe(images, report);
  return images;
}

function describe(
  { name, count, shape, classNames, skipped, fingerprint, statistics }: ImageDataset,
  report: Report,
): void {
  const [height, width, channels] = shape;
  const colours = { 1: 'grey', 3: 'RGB', 4: 'RGB and alpha' }[channels] ?? `${channels} channels`;
  const classes = classNames ? `, ${classNames.length} classes` : '';
  report.note(`data: ${name}, ${count} images of ${height} x ${width}, ${colours}${classes}`);
  for (const { path, reason } of skipped.slice(0, namedFiles)) report.warn(`left out ${path}: ${reason}`);
  if (skipped.length > namedFiles) report.warn(`and ${skipped.length - namedFiles} more files`);
  if (skipped.length > 0) report.warn(`${skipped.length} files left out in all; --strict fails on the first`);
  if (statistics.enlarged > 0) {
    report.note(`${statistics.enlarged} images were smaller than ${height} x ${width} and were enlarged`);
  }
  report.event('data', { name, count, shape, classNames, skipped, fingerprint });
}
