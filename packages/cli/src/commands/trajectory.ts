import { extname } from 'node:path';
import { type SampleStep, sample, samplers, spacings } from '@diffuse/core';
import type { Command } from '../command.ts';
import { usageError } from '../failure.ts';
import { flag, integer, type SettingTable, text } from '../settings/kinds.ts';
import { labelsFrom, type SamplerSettings, samplerFrom, samplerSettings } from '../settings/sampler-settings.ts';

/** The flags of `trajectory`. */
export interface TrajectoryFlags extends SamplerSettings {
  out: string;
  count?: number;
  columns?: number;
  animate?: boolean;
  captions?: boolean;
}

const { model, ...others } = samplerSettings;

const settings: SettingTable<TrajectoryFlags> = {
  model,
  out: {
    kind: text('a file'),
    description: 'picture, ending in .png or .webp, or animation, ending in .gif or .webp',
    group: 'Sampling:',
    required: true,
  },
  animate: {
    kind: flag(),
    description: 'one frame a step instead of columns; .webp or .gif',
    group: 'Sampling:',
    defaultText: 'true for .gif',
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
  ],
  examples: [
    ['diffuse trajectory --model runs/digits --out steps.png', 'a picture'],
    ['diffuse trajectory --model runs/digits --out steps.gif -n 8', 'an animation'],
  ],
  async run(values, { report }) {
    const flags = values as TrajectoryFlags;
    const animate = checkEnding(flags);
    const { openModel } = await loadOpenModel();
    const { listenForStop } = await loadStopSignal();
    const { count = 1, seed = 0, out } = flags;
    const { model, diffusion, scheduler, classNames, device } = await openModel(flags.model, {
      flag: '--model',
      device: flags.device,
      threads: flags.threads,
      ema: flags.ema,
    });
    using _device = device;
    const sampler = samplerFrom(flags, scheduler);
    const labels = labelsFrom(flags.class, count, { classes: model.classes, classNames });
    const total = sampler.plan(diffusion).length;
    const shown = animate ? everyStep(total) : evenly(total, flags.columns ?? 10);
    const progress = report.progress('sampling', total);
    const stop = listenForStop(() => report.note('stopping'));
    const steps: SampleStep[] = [];
    try {
      const signal = stop.signal;
      for await (const step of sample.steps({ model, diffusion, device, sampler, count, seed, labels, signal })) {
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

/** Whether the file is an animation. @throws Failure for an ending that does not fit. */
function checkEnding({ out, animate }: TrajectoryFlags): boolean {
  const ending = extname(out).toLowerCase();
  if (!['.png', '.webp', '.gif'].includes(ending)) {
    throw usageError(`--out must end in .png, .webp or .gif; got '${out}'`);
  }
  if (animate && ending === '.png') throw usageError(`--animate needs --out ending in .webp or .gif; got '${out}'`);
  if (animate === false && ending === '.gif') {
    throw usageError(`--no-animate needs --out ending in .png or .webp; got '${out}'`);
  }
  return animate ?? ending === '.gif';
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
