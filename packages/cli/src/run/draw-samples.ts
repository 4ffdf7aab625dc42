import { type ImageBatch, type SampleOptions, sample } from '@diffuse/core';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';

/** What {@link drawSamples} draws, as `sample` of the library takes it. */
export type DrawOptions = Omit<SampleOptions, 'onStep' | 'batchSize'> & { readonly batchSize?: number | undefined };

/**
 * Draws images with progress on the terminal and in events.
 *
 * @param phase what the events of progress call it; default nothing.
 */
export async function drawSamples(
  { batchSize, ...options }: DrawOptions,
  report: Report,
  { task = 'sampling', phase }: { readonly task?: string; readonly phase?: string } = {},
): Promise<ImageBatch> {
  let progress: Progress | undefined;
  const { images, shape } = await sample({
    ...options,
    ...(batchSize !== undefined && { batchSize }),
    onStep({ done, total }) {
      progress ??= report.progress(task, total);
      progress.update(done);
      report.event('progress', { ...(phase !== undefined && { phase }), done, total });
    },
  }).finally(() => progress?.end());
  return { data: images, shape: shape as ImageBatch['shape'] };
}
