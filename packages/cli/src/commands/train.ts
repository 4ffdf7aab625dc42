import { precisions, schedules, targets, weightings } from '@diffuse/core';
import type { Command } from '../command.ts';
import { usageError } from '../failure.ts';
import type { TrainConfig } from '../settings/config-file.ts';
import { flag, oneOf, type SettingTable, text } from '../settings/kinds.ts';
import { presets } from '../settings/presets.ts';
import { type ResolvedConfig, resolveSettings, resumeSettings } from '../settings/resolve.ts';
import { trainMetrics } from '../settings/train-evaluation-settings.ts';
import { type TrainSettingName, type TrainSettings, trainDefaults, trainSettings } from '../settings/train-settings.ts';
import type { Report } from '../terminal/report.ts';

/** The flags of `train`: the settings, and where to find and put them. */
export interface TrainFlags extends TrainSettings {
  out: string;
  preset?: string;
  config?: string;
  resume?: boolean;
}

const settings: SettingTable<TrainFlags> = {
  out: { kind: text('a folder'), description: 'folder of the run', group: 'Run:', required: true },
  resume: { kind: flag(), description: 'go on with the run in --out, exactly', group: 'Run:' },
  preset: { kind: oneOf(Object.keys(presets)), description: 'settings that go well together', group: 'Run:' },
  config: {
    kind: text('a YAML file'),
    description: 'YAML file with a key for every flag; flags beat it, it beats the preset',
    group: 'Run:',
  },
  ...withDefaults(),
};

/** Loaded when it is needed: the YAML library behind it takes a tenth of the time that a help text takes. */
const loadConfigFile = () => import('../settings/config-file.ts');

/** `diffuse train`. */
export const trainCommand: Command<TrainFlags> = {
  name: 'train',
  summary: 'train a model on images, or a classifier of them',
  settings,
  sections: [
    ['Presets:', presets],
    ['Schedules:', schedules],
    ['Predictions:', targets],
    ['Weightings:', weightings],
    ['Metrics of --eval-metrics:', trainMetrics],
    ['Number formats:', precisions],
  ],
  examples: [
    ['diffuse train --data photos --resolution 32 --out runs/photos', 'train on a folder'],
    ['diffuse train --data train-images.idx3-ubyte --preset mnist --minutes 5 --out runs/digits', 'train on IDX files'],
    ['diffuse train --data photos --classes folders --drop-class 0.1 --out runs/kinds', 'with classes, for guidance'],
    ['diffuse train --task classifier --data photos --classes folders --out runs/judge', 'a classifier'],
    ['diffuse train --resume --out runs/photos --steps 20000', 'go on'],
  ],
  async run({ out, preset, config, resume, ...flags }, { report }) {
    const { runTraining } = await import('../run/training-run.ts');
    const { checkFreshFolder, findRun, runFolder } = await import('../run/run-folder.ts');
    const { listenForStop } = await import('../run/stop-signal.ts');
    const { checkPreset } = await loadConfigFile();
    const folder = runFolder(out as string);
    const given: TrainConfig = {
      ...(preset !== undefined && { preset: checkPreset(preset, '--preset') }),
      settings: flags,
    };
    const found = resume ? await findRun(folder.path) : undefined;
    if (!found) await checkFreshFolder(folder.path);
    const resolved = await resolve(given, { config, written: found ? folder.config : undefined });
    if (found && !found.hasCheckpoint) report.note(`${folder.path} has no checkpoint yet: the run begins again`);
    const stop = listenForStop(() => announceStop(report));
    try {
      await runTraining({
        config: resolved,
        folder,
        resume: found?.hasCheckpoint ?? false,
        report,
        signal: stop.signal,
      });
    } finally {
      stop.dispose();
    }
  },
};

async function resolve(
  flags: TrainConfig,
  { config, written }: { config: string | undefined; written: string | undefined },
): Promise<ResolvedConfig> {
  const { readConfig } = await loadConfigFile();
  if (written === undefined) {
    return resolveSettings(flags, config === undefined ? undefined : await readConfig(config));
  }
  if (config !== undefined) {
    throw usageError('--config cannot be given with --resume: the run has its own config.yaml');
  }
  return resumeSettings(flags, await readConfig(written), written);
}

function announceStop(report: Report): void {
  report.note('stopping after this step, with a checkpoint; once more to quit at once');
}

/** The settings with their defaults as `--help` shows them. */
function withDefaults(): SettingTable<TrainSettings> {
  const show = (value: unknown): string =>
    Array.isArray(value) ? value.join(',') || 'none' : typeof value === 'object' ? '' : String(value);
  const entries = (Object.keys(trainSettings) as TrainSettingName[]).map((name) => {
    const value = trainDefaults[name];
    const setting = trainSettings[name];
    if (value === undefined || value === false || setting.defaultText !== undefined) return [name, setting];
    return [name, { ...setting, defaultText: show(value) }];
  });
  return Object.fromEntries(entries) as SettingTable<TrainSettings>;
}
