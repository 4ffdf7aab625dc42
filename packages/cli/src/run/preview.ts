import { join } from 'node:path';
import { type Device, type Diffusion, ddim, sample, type UNet2D } from '@diffuse/core';
import { labelsFrom } from '../settings/sampler-settings.ts';

const previewImages = 16;
const previewSteps = 25;
/** The same noise in every preview, so that they show how one image grows. */
const previewSeed = 0;

/**
 * Draws a grid of images with the average of the weights and writes it to `previews/step-000500.png`.
 *
 * @returns the path.
 * @throws DiffuseError `ERR_CANCELLED`, `ERR_OUT_OF_MEMORY`, `ERR_NON_FINITE`, `ERR_DATA`.
 */
export async function savePreview(
  folder: string,
  step: number,
  { model, diffusion, device }: { model: UNet2D; diffusion: Diffusion; device: Device },
  signal: AbortSignal,
): Promise<string> {
  const { saveImageGrid } = await import('@diffuse/data');
  const labels = labelsFrom(undefined, previewImages, model);
  const steps = Math.min(previewSteps, diffusion.steps);
  const { images, shape } = await sample({
    model,
    diffusion,
    device,
    sampler: ddim({ steps, spacing: 'trailing' }),
    count: previewImages,
    seed: previewSeed,
    labels,
    signal,
  });
  const path = join(folder, `step-${String(step).padStart(6, '0')}.png`);
  const size = shape as readonly [number, number, number, number];
  await saveImageGrid(path, { data: images, shape: size }, { scale: gridScale(size[1]) });
  return path;
}

/** Small images are enlarged, so that a grid of them can be looked at. */
export function gridScale(height: number): number {
  return Math.max(1, Math.floor(64 / height));
}
