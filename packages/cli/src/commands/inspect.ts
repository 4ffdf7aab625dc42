import { type Precision, precisions, schedules } from '@diffuse/core';
import type { Command, CommandContext } from '../command.ts';
import { usageError } from '../failure.ts';
import { integer, kebabCase, namedNumbers, oneOf, type SettingTable, text } from '../settings/kinds.ts';
import { buildSchedule, type ScheduleChoice, scheduleChoice } from '../settings/schedule-choice.ts';

/** The flags of `inspect`. */
export interface InspectFlags {
  model?: string;
  batchSize?: number;
  precision?: Precision;
  schedule?: ScheduleChoice;
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
  precision: {
    kind: oneOf(Object.keys(precisions) as Precision[]),
    description: 'the number format that memory is counted for',
    group: modelGroup,
    defaultText: 'fp32',
  },
  schedule: {
    kind: scheduleChoice(),
    description: 'noise schedule, or one of your own: betas, alphaBars or sigmas in a JSON file',
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
    defaultText: '1000, or those of a JSON file',
  },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadOpenModel = () => import('../run/open-model.ts');
const loadRunReport = () => import('../inspect/run-report.ts');
const loadScheduleReport = () => import('../inspect/schedule-report.ts');

/** `diffuse inspect`. */
export const inspectCommand: Command<InspectFlags> = {
  name: 'inspect',
  summary: 'what a model is: parameters, shapes, schedule, memory and FLOPs of a step; or what a schedule is',
  settings,
  sections: [
    ['Schedules:', schedules],
    ['Number formats:', precisions],
  ],
  examples: [
    ['diffuse inspect runs/digits --batch-size 64', 'what training with 64 images a step takes'],
    ['diffuse inspect --schedule linear --timesteps 100', 'how much noise a schedule holds, and when'],
  ],
  async run(flags, context) {
    const { model, schedule } = flags;
    if (schedule !== undefined) {
      refuseTogether('--schedule', flags, ['model', 'batchSize', 'precision']);
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
  chosen: ScheduleChoice,
  { scheduleOptions, timesteps }: InspectFlags,
  context: CommandContext,
): Promise<void> {
  const { scheduleFacts, scheduleText } = await loadScheduleReport();
  const schedule = buildSchedule({ schedule: chosen, scheduleOptions, timesteps });
  const { name, steps, parameters } = schedule;
  context.report.event('schedule', { schedule: { name, steps, ...parameters }, ...scheduleFacts(schedule) });
  context.report.result(scheduleText(schedule, undefined, chartWidth(context)));
}

/** Columns of a curve: what the labels beside it leave of the terminal. */
function chartWidth({ columns: terminalColumns }: CommandContext): number {
  return Math.max(20, Math.min(72, terminalColumns - 12));
}

async function inspectModel(
  directory: string,
  { batchSize = 1, precision }: InspectFlags,
  context: CommandContext,
): Promise<void> {
  const { openModel, runKinds } = await loadOpenModel();
  const { runReport } = await loadRunReport();
  const run = await openModel(directory, { flag: 'MODEL', kinds: runKinds, precision, report: context.report });
  using _device = run.device;
  const { facts, text: lines } = runReport(run, { directory, batchSize, chartWidth: chartWidth(context) });
  context.report.event('model', facts);
  context.report.result(lines);
}
