import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createSchedule, type ScheduleName, schedules, type UNet2DConfig } from '@diffuse/core';
import type { Command, CommandContext } from '../command.ts';
import { usageError } from '../failure.ts';
import { integer, kebabCase, namedNumbers, oneOf, type SettingTable, text } from '../settings/kinds.ts';
import { bytes, columns, grouped, scaled } from '../terminal/format.ts';

/** The flags of `inspect`. */
export interface InspectFlags {
  model?: string;
  batchSize?: number;
  schedule?: ScheduleName;
  scheduleOptions?: Readonly<Record<string, number>>;
  timesteps?: number;
}

const modelGroup = 'Model:';
const scheduleGroup = 'A schedule without a model:';

const settings: SettingTable<InspectFlags> = {
  model: {
    kind: text('the folder of a run, or any diffusers folder of a UNet2DModel'),
    description: 'folder of a run, or any diffusers folder of a UNet2DModel; not with --schedule',
    group: modelGroup,
    positional: true,
  },
  batchSize: {
    kind: integer(1, 65_536),
    description: 'for memory and FLOPs of a step',
    group: modelGroup,
    defaultText: '1',
  },
  schedule: {
    kind: oneOf(Object.keys(schedules) as ScheduleName[]),
    description: 'noise schedule',
    group: scheduleGroup,
  },
  scheduleOptions: {
    kind: namedNumbers(),
    description: 'its parameters, e.g. betaStart=0.0001,betaEnd=0.02 or zeroTerminalSnr=1',
    group: scheduleGroup,
    defaultText: "the schedule's own",
  },
  timesteps: {
    kind: integer(1, 1_000_000),
    description: 'its noise levels',
    group: scheduleGroup,
    defaultText: '1000',
  },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadModelFacts = () => import('../inspect/model-facts.ts');

const loadScheduleReport = () => import('../inspect/schedule-report.ts');

/** `diffuse inspect`. */
export const inspectCommand: Command<InspectFlags> = {
  name: 'inspect',
  summary: 'what a model is: parameters, shapes, schedule, memory and FLOPs of a step; or what a schedule is',
  settings,
  sections: [['Schedules:', schedules]],
  examples: [
    ['diffuse inspect runs/digits --batch-size 64', 'what training with 64 images a step takes'],
    ['diffuse inspect --schedule linear --timesteps 100', 'how much noise a schedule holds, and when'],
  ],
  async run(flags, context) {
    const { model, schedule } = flags;
    if (schedule !== undefined) {
      refuseTogether('--schedule', flags, ['model', 'batchSize']);
      return inspectSchedule(schedule, flags, context);
    }
    if (model === undefined) {
      throw usageError(
        `${settings.model.kind.expected} is missing; or give --schedule NAME to look at a schedule alone`,
      );
    }
    refuseTogether('MODEL, which has its own schedule,', flags, ['scheduleOptions', 'timesteps']);
    return inspectModel(model, flags, context);
  },
};

/** @throws Failure if one of `others` is given. */
function refuseTogether(subject: string, flags: InspectFlags, others: readonly (keyof InspectFlags)[]): void {
  const given = others.find((name) => flags[name] !== undefined);
  if (given === undefined) return;
  throw usageError(`${subject} does not go with ${given === 'model' ? 'MODEL' : `--${kebabCase(given)}`}`);
}

async function inspectSchedule(
  name: ScheduleName,
  { scheduleOptions, timesteps = 1000 }: InspectFlags,
  context: CommandContext,
): Promise<void> {
  const { scheduleFacts, scheduleText } = await loadScheduleReport();
  const schedule = createSchedule(name, { ...scheduleOptions, steps: timesteps });
  const { steps, parameters } = schedule;
  context.report.event('schedule', { schedule: { name, steps, ...parameters }, ...scheduleFacts(schedule) });
  context.report.result(scheduleText(schedule, undefined, chartWidth(context)));
}

/** Columns of a curve: what the labels beside it leave of the terminal. */
function chartWidth({ columns: terminalColumns }: CommandContext): number {
  return Math.max(20, Math.min(72, terminalColumns - 12));
}

async function inspectModel(
  directory: string,
  { batchSize = 1 }: InspectFlags,
  context: CommandContext,
): Promise<void> {
  const { openModel } = await loadOpenModel();
  const { modelFacts, parametersByPart } = await loadModelFacts();
  const { scheduleFacts, scheduleText } = await loadScheduleReport();
  const { model, diffusion, classNames, device } = await openModel(directory, { flag: 'MODEL' });
  using _device = device;
  const hasAverage = existsSync(join(directory, 'unet_ema'));
  const facts = modelFacts(model, diffusion, device, batchSize);
  const parts = parametersByPart(model);
  const parameters = [...parts.values()].reduce((sum, count) => sum + count, 0);
  const { schedule, predict } = diffusion;
  context.report.event('model', {
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
    ...scheduleFacts(schedule),
  });

  const [height, width, channels] = model.shape;
  const classes = model.classes === null ? 'no classes' : `${model.classes} classes`;
  const average = hasAverage ? ', with an average of the weights' : '';
  context.report.result(
    [
      `${directory}: a U-Net for images of ${height} x ${width} x ${channels}, ${classes}`,
      `${grouped(parameters)} parameters (${bytes(parameters * 4)})${average}`,
      ...(classNames ? [`classes: ${classNames.slice(0, 20).join(', ')}${classNames.length > 20 ? ', …' : ''}`] : []),
      '',
      columns(levelTable(model.config)),
      '',
      columns([['part', 'parameters'], ...[...parts].map(([name, count]) => [name, grouped(count).padStart(10)])]),
      '',
      scheduleText(schedule, predict, chartWidth(context)),
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
}

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
