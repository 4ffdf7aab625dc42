import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Schedule, snr, type UNet2DConfig } from '@diffuse/core';
import type { Command } from '../command.ts';
import { integer, type SettingTable, text } from '../settings/kinds.ts';
import { curve } from '../terminal/curve.ts';
import { bytes, columns, grouped, scaled } from '../terminal/format.ts';

/** The flags of `inspect`. */
export interface InspectFlags {
  model: string;
  batchSize?: number;
}

const settings: SettingTable<InspectFlags> = {
  model: {
    kind: text('the folder of a run, or any diffusers folder of a UNet2DModel'),
    description: 'folder of a run, or any diffusers folder of a UNet2DModel',
    group: 'Model:',
    positional: true,
    required: true,
  },
  batchSize: {
    kind: integer(1, 65_536),
    description: 'for memory and FLOPs of a step',
    group: 'Model:',
    defaultText: '1',
  },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadModelFacts = () => import('../inspect/model-facts.ts');

/** `diffuse inspect`. */
export const inspectCommand: Command<InspectFlags> = {
  name: 'inspect',
  summary: 'what a model is: parameters, shapes, schedule, memory and FLOPs of a step',
  settings,
  examples: [['diffuse inspect runs/digits --batch-size 64', 'what training with 64 images a step takes']],
  async run({ model: directory = '', batchSize = 1 }, { report, columns: terminalColumns }) {
    const { openModel } = await loadOpenModel();
    const { modelFacts, parametersByPart } = await loadModelFacts();
    const { model, diffusion, classNames, device } = await openModel(directory, { flag: 'MODEL' });
    using _device = device;
    const hasAverage = existsSync(join(directory, 'unet_ema'));
    const facts = modelFacts(model, diffusion, device, batchSize);
    const parts = parametersByPart(model);
    const parameters = [...parts.values()].reduce((sum, count) => sum + count, 0);
    const { schedule, predict } = diffusion;
    report.event('model', {
      shape: model.shape,
      classes: model.classes,
      classNames,
      parameters,
      parametersByPart: Object.fromEntries(parts),
      ema: hasAverage,
      config: model.config,
      predict,
      schedule: { name: schedule.name, steps: schedule.steps, ...schedule.parameters },
      ...facts,
    });

    const [height, width, channels] = model.shape;
    const classes = model.classes === null ? 'no classes' : `${model.classes} classes`;
    const average = hasAverage ? ', with an average of the weights' : '';
    const chart = Math.max(20, Math.min(72, terminalColumns - 12));
    report.result(
      [
        `${directory}: a U-Net for images of ${height} x ${width} x ${channels}, ${classes}`,
        `${grouped(parameters)} parameters (${bytes(parameters * 4)})${average}`,
        ...(classNames ? [`classes: ${classNames.slice(0, 20).join(', ')}${classNames.length > 20 ? ', …' : ''}`] : []),
        '',
        columns(levelTable(model.config)),
        '',
        columns([['part', 'parameters'], ...[...parts].map(([name, count]) => [name, grouped(count).padStart(10)])]),
        '',
        `schedule ${schedule.name}, ${schedule.steps} timesteps, predicts ${predict}${parameterText(schedule)}`,
        '',
        scheduleCurves(schedule, chart),
        '',
        columns([
          [`batch of ${batchSize}`, 'memory', 'FLOPs'],
          ['a sampling step', bytes(facts.sampling.memoryBytes), scaled(facts.sampling.flops.total)],
          ['a training step', bytes(facts.training.memoryBytes), scaled(facts.training.flops.total)],
        ]),
        `FLOPs of a forward pass: ${Object.entries(facts.sampling.flops.byKind)
          .map(([kind, count]) => `${kind} ${scaled(count)}`)
          .join(', ')}`,
      ].join('\n'),
    );
  },
};

/** One row a level: size, channels and blocks on the way down and up. */
function levelTable(config: UNet2DConfig): string[][] {
  const { sampleSize, blockOutChannels, downBlockTypes, upBlockTypes, layersPerBlock } = config;
  const blocks = (type: string | undefined, layers: number): string =>
    `${layers} residual${type?.startsWith('Attn') ? ' + attention' : ''}`;
  const rows = blockOutChannels.map((channels, level) => [
    String(level),
    sampleSize.map((side) => side / 2 ** level).join(' x '),
    String(channels),
    blocks(downBlockTypes[level], layersPerBlock),
    blocks(upBlockTypes.at(-1 - level), layersPerBlock + 1),
  ]);
  const middle = config.midBlockType === null ? 'none' : `2 residual${config.addAttention ? ' + attention' : ''}`;
  const last = config.blockOutChannels.length - 1;
  const size = sampleSize.map((side) => side / 2 ** last).join(' x ');
  return [
    ['level', 'size', 'channels', 'down', 'up'],
    ...rows,
    ['middle', size, String(blockOutChannels[last]), middle, ''],
  ];
}

function parameterText({ parameters }: Schedule): string {
  const entries = Object.entries(parameters);
  return entries.length === 0 ? '' : ` (${entries.map(([name, value]) => `${name} ${value}`).join(', ')})`;
}

const chartHeight = 8;

/** alphaBar and the signal-to-noise ratio over the timesteps. */
function scheduleCurves({ alphaBar, steps }: Schedule, width: number): string {
  const decibels = Float64Array.from(alphaBar, (value) => 10 * Math.log10(Math.max(snr(value), 1e-12)));
  const axis = `t = 0${`t = ${steps - 1}`.padStart(Math.max(0, width - 5))}`;
  const draw = (title: string, values: Float64Array, format: (value: number) => string): string => {
    const labels = [format(Math.max(...values)), format(Math.min(...values))] as const;
    const margin = Math.max(labels[0].length, labels[1].length) + 2;
    return `${title}\n${curve(values, { width, height: chartHeight, labels })}\n${' '.repeat(margin)}${axis}`;
  };
  return [
    draw('alphaBar, the share of the image in its variance', alphaBar, (value) => value.toFixed(2)),
    draw('signal-to-noise ratio in dB', decibels, (value) => value.toFixed(0)),
  ].join('\n\n');
}
