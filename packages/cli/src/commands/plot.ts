import { extname } from 'node:path';
import { schedules } from '@diffuse/core';
import type { Command } from '../command.ts';
import { usageError } from '../failure.ts';
import { kebabCase } from '../settings/kinds.ts';
import { type PlotFlags, type PlotName, plotSettings, plots } from '../settings/plot-settings.ts';

const loadDraw = () => import('../plot/draw.ts');
const loadData = () => import('@diffuse/data');

/** `diffuse plot`. */
export const plotCommand: Command<PlotFlags> = {
  name: 'plot',
  summary: 'draw what diffusion does: schedules, steps, an image on its way to noise, the loss of a run',
  settings: plotSettings,
  sections: [
    ['Kinds:', plots],
    ['Schedules:', schedules],
  ],
  examples: [
    ['diffuse plot schedule --schedule linear,cosine,sigmoid --out schedules.svg', 'schedules side by side'],
    ['diffuse plot forward --from cat.png --resolution 64 --out strip.png', 'an image on its way to noise'],
    ['diffuse plot loss --model runs/digits --out loss.png', 'how training went'],
  ],
  async run(values, { report }) {
    const flags = values as PlotFlags;
    checkFlags(flags);
    const { draw } = await loadDraw();
    const { renderSvg, saveCaptionedRows } = await loadData();
    const picture = await draw(flags);
    if (typeof picture === 'string') await renderSvg(picture, flags.out);
    else await saveCaptionedRows(flags.out, picture.rows, picture.options);
    report.event('done', { kind: flags.kind, out: flags.out });
    report.result(flags.out);
  },
};

/** @throws Failure for a flag that the kind does not take, or an ending that it is not written as. */
function checkFlags({ kind, out, ...others }: PlotFlags): void {
  const { flags, endings } = plots[kind];
  for (const [flag, value] of Object.entries(others)) {
    if (value === undefined || flags.includes(flag as keyof PlotFlags)) continue;
    const owners = (Object.keys(plots) as PlotName[]).filter((name) =>
      plots[name].flags.includes(flag as keyof PlotFlags),
    );
    throw usageError(`--${kebabCase(flag)} belongs to plot ${owners.join(', ')}, not to plot ${kind}`);
  }
  if (!endings.includes(extname(out).toLowerCase())) {
    throw usageError(`--out of plot ${kind} must end in ${endings.join(' or ')}; got '${out}'`);
  }
}
