import { extname } from 'node:path';
import { precisions, type SampleStep, sample, samplers, spacings } from '@diffuse/core';
import type { Command } from '../command.ts';
import { usageError } from '../failure.ts';
import { checkGuidanceFlags } from '../settings/drawing-settings.ts';
import { flag, integer, type SettingTable, text } from '../settings/kinds.ts';
import { type SamplerSettings, samplerFrom, samplerSettings } from '../settings/sampler-settings.ts';

/** The flags of `trajectory`. */
export interface TrajectoryFlags extends SamplerSettings {
  out: string;
  count?: number;
  columns?: number;
  still?: boolean;
  captions?: boolean;
}

const { model, ...others } = samplerSettings;

const settings: SettingTable<TrajectoryFlags> = {
  model,
  out: {
    kind: text('a file'),
    description: 'animation, ending in .gif or .webp, or picture, ending in .png',
    group: 'Sampling:',
    required: true,
  },
  still: {
    kind: flag(),
    description: 'a picture with a column a step instead of an animation with a frame a step; .webp',
    group: 'Sampling:',
    defaultText: 'true for .png',
  },
  captions: {
    kind: flag(),
    description: 'name the rows, and write timestep and noise level below the columns; --no-captions leaves them out',
    group: 'Sampling:',
    defaultText: 'true',
  },
  columns: { kind: integer(2), description: 'steps that a picture shows', group: 'Sampling:', defaultText: '10' },
  count: { kind: integer(1, 64), description: 'number of images', group: 'Sampling:', alias: 'n', defaultText: '1' },
  ...others,
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadOpenGuidance = () => import('../run/open-guidance.ts');
const loadStopSignal = () => import('../run/stop-signal.ts');
const loadTrajectoryPicture = () => import('../run/trajectory-picture.ts');

/** `diffuse trajectory`. */
export const trajectoryCommand: Command<TrajectoryFlags> = {
  name: 'trajectory',
  summary: 'show how noise becomes an image: x_t, the predicted noise, the estimate of x_0',
  settings,
  sections: [
    ['Samplers:', samplers],
    ['Spacings:', spacings],
    ['Number formats:', precisions],
  ],
  examples: [
    ['diffuse trajectory --model runs/digits --out steps.png', 'a picture'],
    ['diffuse trajectory --model runs/digits --out steps.webp -n 8', 'an animation'],
  ],
  async run(values, { report }) {
    const flags = values as TrajectoryFlags;
    const animate = checkEnding(flags);
    checkGuidanceFlags(flags);
    const { openModel } = await loadOpenModel();
    const { listenForStop } = await loadStopSignal();
    const { count = 1, seed = 0, out } = flags;
    const { device: kind, tf32, threads, precision, ema } = flags;
    const opened = await openModel(flags.model, {
      flag: '--model',
      device: kind,
      tf32,
      threads,
      precision,
      ema,
      report,
    });
    using device = opened.device;
    const { model, diffusion, scheduler } = opened;
    const sampler = samplerFrom(flags, scheduler);
    const guided = await (await loadOpenGuidance()).openGuidance(flags, opened, count);
    const total = sampler.plan(diffusion).length;
    const shown = animate ? everyStep(total) : evenly(total, flags.columns ?? 10);
    const progress = report.progress('sampling', total);
    const stop = listenForStop(() => report.note('stopping'));
    const steps: SampleStep[] = [];
    try {
      const signal = stop.signal;
      for await (const step of sample.steps({ model, diffusion, device, sampler, count, seed, ...guided, signal })) {
        if (shown.has(step.step)) steps.push(step);
        progress.update(step.step);
        report.event('step', { step: step.step, t: step.t });
      }
    } finally {
      progress.end();
      stop.dispose();
    }
    const { saveTrajectory } = await loadTrajectoryPicture();
    const shape = [count, ...model.shape] as const;
    await saveTrajectory(out, steps, { shape, schedule: diffusion.schedule, total, animate, captions: flags.captions });
    report.event('done', { out, timesteps: steps.map(({ t }) => t) });
    report.result(out);
  },
};

/** Whether the file is an animation: what can be one is one. @throws Failure for an ending that does not fit. */
function checkEnding({ out, still }: TrajectoryFlags): boolean {
  const ending = extname(out).toLowerCase();
  if (!['.png', '.webp', '.gif'].includes(ending)) {
    throw usageError(`--out must end in .png, .webp or .gif; got '${out}'`);
  }
  if (still && ending === '.gif') throw usageError(`--still needs --out ending in .png or .webp; got '${out}'`);
  if (still === false && ending === '.png') {
    throw usageError(`--no-still needs --out ending in .webp or .gif; got '${out}'`);
  }
  return ending !== '.png' && still !== true;
}

function everyStep(total: number): ReadonlySet<number> {
  return new Set(Array.from({ length: total }, (_, i) => i + 1));
}

/** Steps from 1 to `total`, both included, evenly spaced. */
function evenly(total: number, columns: number): ReadonlySet<number> {
  const count = Math.min(total, columns);
  if (count === 1) return new Set([total]);
  return new Set(Array.from({ length: count }, (_, i) => 1 + Math.round((i * (total - 1)) / (count - 1))));
}
