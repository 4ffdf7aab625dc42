import type { PlotFlags, PlotName } from '../settings/plot-settings.ts';
import { type CaptionedPicture, drawForward } from './forward.ts';
import { drawLoss } from './loss.ts';
import { drawPosterior } from './posterior.ts';
import { drawRemoved } from './removed.ts';
import { drawSchedules, drawSnr } from './schedules.ts';

const drawings: Readonly<Record<PlotName, (flags: PlotFlags) => Promise<string | CaptionedPicture>>> = {
  schedule: drawSchedules,
  snr: drawSnr,
  removed: drawRemoved,
  posterior: drawPosterior,
  forward: drawForward,
  loss: drawLoss,
};

/** Draws the picture that the flags ask for: an SVG, or images with captions. */
export async function draw(flags: PlotFlags): Promise<string | CaptionedPicture> {
  return drawings[flags.kind](flags);
}
