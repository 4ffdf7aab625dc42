import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gaussianDiffusion, linearSchedule, openDevice, saveRun, train } from '@diffuse/core';
import { type AlternateOptions, alternate, type Subject } from '../alternate.ts';
import { askedBounds, askedRatio, goal } from '../asked.ts';
import { type BenchConfig, benchModel } from '../configs.ts';
import { trainFlags } from '../ours/train-flags.ts';
import { noiseImages } from '../ours/train-session.ts';
import { type Command, timeUntilOutput } from '../peers/command.ts';
import { peerPrecision } from '../precision.ts';
import { compiledFile } from '../repository.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import { inFolder } from '../temporary-folder.ts';
import { type BenchContext, peerSide, type Suite } from './suite.ts';

/** How long one waits for the first step. */
export const startupSuite: Suite = {
  name: 'startup',
  cpuOnly: true,
  description: 'from process start to the end of the first step, of diffuse sample and of diffuse train',
  startsCommand: true,
  cases: (context) =>
    context.configs.flatMap((config) => [
      { name: `${config.name}, first step`, measure: () => measureSampling(context, config) },
      { name: `${config.name}, first training step`, measure: () => measureTraining(context, config) },
    ]),
};

/** Both sides load the same folder from the page cache, in fresh processes. */
async function measureSampling(context: BenchContext, config: BenchConfig): Promise<CaseResult> {
  const { peers, precision, device } = context;
  const peer = peers.find(({ startup }) => startup !== undefined);
  return inFolder(async (folder) => {
    await saveModel(config, folder);
    const command = await ourCommand([
      ...['sample', '--model', folder, '--out', join(folder, 'image.png'), '--count', '1', '--json'],
      ...['--sampler', 'ddim', '--steps', '2', '--threads', String(device.threads), '--precision', precision],
    ]);
    const ours = fresh(() => timeUntilOutput(command, '"progress"'));
    const theirs = peer?.startup && fresh(async () => Number(await peer.startup?.(folder)));
    const times = await alternate(ours, theirs, rounds(context));
    const ourTiming = { ...timing(times.ours), peakBytes: 0 };
    const side = peer && {
      ...{ name: peer.name, version: peer.version, variant: 'fresh process', precision: peerPrecision(precision) },
      ...timing(times.peer),
    };
    const { goals = [], ...beside } = side ? peerSide(ourTiming, side, askedRatio('startup', context)) : {};
    return {
      ...{ suite: 'startup', name: `${config.name}, first step`, precision, ours: ourTiming, ...beside },
      goals: [goal('ms to the first step', ourTiming.medianMs, askedBounds.firstSamplingStep), ...goals],
    };
  });
}

/** The images are in the packed cache from the unmeasured start on, as in every start of a user's but the first. */
async function measureTraining(context: BenchContext, config: BenchConfig): Promise<CaseResult> {
  return inFolder(async (folder) => {
    const flags = [
      ...(await trainFlags(config, folder, context.device.threads)),
      ...['--precision', context.precision],
    ];
    const train = async (): Promise<number> => {
      const out = join(folder, 'run');
      const ms = await timeUntilOutput(await ourCommand(['train', '--out', out, '--json', ...flags]), '"event":"step"');
      await rm(out, { recursive: true });
      return ms;
    };
    const times = await alternate(fresh(train), undefined, rounds(context));
    const ourTiming = { ...timing(times.ours), peakBytes: 0 };
    return {
      ...{ suite: 'startup', name: `${config.name}, first training step`, precision: context.precision },
      ours: ourTiming,
      goals: [goal('ms to the first training step', ourTiming.medianMs, askedBounds.firstTrainingStep)],
    };
  });
}

/** The processes end between measurements, so their CPU time counts to nobody: the load is not known. */
function rounds({ quick }: BenchContext): AlternateOptions {
  return { rounds: quick ? 3 : 5, judgeLoad: false };
}

/** What starts processes of its own is no process that could be watched. */
function fresh(run: () => Promise<number>): Subject {
  return { pid: process.pid, run };
}

async function ourCommand(args: readonly string[]): Promise<Command> {
  return { program: process.execPath, args: [await compiledFile('packages/cli/dist/main.js'), ...args] };
}

/** A folder with fresh weights that both sides can load. */
async function saveModel(config: BenchConfig, folder: string): Promise<void> {
  using device = await openDevice('cpu');
  const model = benchModel(config);
  const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
  const data = noiseImages(model.shape, 1);
  const training = train({ model, diffusion, data, device, steps: 0, batchSize: 1, ema: 0 });
  await saveRun(folder, { model, diffusion, state: training.state, fingerprint: data.fingerprint, seed: 0 });
  training.dispose();
  await rm(join(folder, 'state.safetensors'), { force: true });
}
