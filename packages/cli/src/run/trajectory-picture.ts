import { type SampleStep, type Schedule, sigmaAt } from '@diffuse/core';
import {
  type CaptionedRowsOptions,
  captionedRows,
  type ImageRow,
  saveAnimation,
  saveCaptionedRows,
} from '@diffuse/data';
import { gridScale } from './preview.ts';

/** What a picture of a trajectory is made from, besides its steps. */
export interface TrajectoryPicture {
  /** Of the batch that was sampled: [count, height, width, channels]. */
  readonly shape: readonly [count: number, height: number, width: number, channels: number];
  readonly schedule: Schedule;
  /** Steps of the whole trajectory, of which the picture may show some. */
  readonly total: number;
  readonly animate: boolean;
  /** Whether rows and columns are named. Default true. */
  readonly captions?: boolean | undefined;
}

/**
 * Writes what happened while sampling: in a picture, three rows an image and a column a step; in an animation, three rows and a column an
 * image, a frame a step.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for an ending that cannot be written, `ERR_DATA` when the file cannot be written.
 */
export async function saveTrajectory(
  out: string,
  steps: readonly SampleStep[],
  { shape, schedule, total, animate, captions = true }: TrajectoryPicture,
): Promise<void> {
  const scale = gridScale(shape[1]);
  const named = (rows: readonly ImageRow[]): readonly ImageRow[] =>
    captions ? rows : rows.map(({ images }) => ({ images }));
  if (!animate) {
    const rows = Array.from({ length: shape[0] }, (_, image) => rowsOf(steps, image, shape)).flat();
    const below = captions
      ? { captions: steps.map(({ t }) => [`t ${timestep(t)}`, `σ ${level(sigmaAt(schedule, t))}`]) }
      : {};
    await saveCaptionedRows(out, named(rows), { scale, group: quantities.length, ...below });
    return;
  }
  const frames = [];
  for (const step of steps) {
    const above: CaptionedRowsOptions = captions
      ? { subtitle: frameTitle(step, schedule, total), minimumWidth: frameTitleWidth }
      : {};
    frames.push(await captionedRows(named(frameRows(step, shape)), { scale, ...above }));
  }
  const lastFrameMs = 1500;
  const delayMs = frames.map((_, i) => (i === frames.length - 1 ? lastFrameMs : 80));
  await saveAnimation(out, frames, { delayMs });
}

const quantities = [
  { label: 'xₜ', of: ({ xt }: SampleStep) => xt },
  { label: 'predicted noise', of: ({ eps }: SampleStep) => eps },
  { label: 'estimate of x₀', of: ({ x0 }: SampleStep) => x0 },
] as const;

/** The three rows of one image, a column a step. */
function rowsOf(
  steps: readonly SampleStep[],
  image: number,
  [, height, width, channels]: TrajectoryPicture['shape'],
): ImageRow[] {
  const size = height * width * channels;
  return quantities.map(({ label, of }) => {
    const data = new Float32Array(steps.length * size);
    steps.forEach((step, column) => {
      data.set(of(step).subarray(image * size, (image + 1) * size), column * size);
    });
    return { label, images: { data, shape: [steps.length, height, width, channels] } };
  });
}

/** The three rows of one step, a column an image. */
function frameRows(step: SampleStep, shape: TrajectoryPicture['shape']): ImageRow[] {
  return quantities.map(({ label, of }) => ({ label, images: { data: of(step), shape } }));
}

/** Room for the longest title of a frame, in pixels. */
const frameTitleWidth = 280;

function frameTitle({ step, t }: SampleStep, schedule: Schedule, total: number): string {
  return `step ${step} of ${total}, t ${timestep(t)}, σ ${level(sigmaAt(schedule, t))}`;
}

/** Timesteps of samplers in sigma lie between whole ones. */
function timestep(t: number): string {
  return Number.isInteger(t) ? String(t) : t.toFixed(1);
}

/** A noise level with three digits: `157`, `1.02`, `0.0101`, or `infinite` where nothing of the image is left. */
function level(sigma: number): string {
  if (!Number.isFinite(sigma)) return 'infinite';
  return sigma >= 1000 ? String(Math.round(sigma)) : String(Number(sigma.toPrecision(3)));
}
