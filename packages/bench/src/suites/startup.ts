import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gaussianDiffusion, linearSchedule, openDevice, saveRun, train } from '@diffuse/core';
import { alternate } from '../alternate.ts';
import { type BenchConfig, benchModel } from '../configs.ts';
import { noiseImages } from '../ours/train-session.ts';
import { timeUntilOutput } from '../peers/command.ts';
import { compiledFile } from '../repository.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import { type BenchContext, peerSide, type Suite } from './suite.ts';

/** How long one waits for the first step. */
export const startupSuite: Suite = {
  name: 'startup',
  description: 'diffuse sample, from process start to the end of the first denoising step',
  cases: (context) =>
    context.configs.map((config) => ({
      name: `${config.name}, first step`,
      measure: () => measureStartup(context, config),
    })),
};

/** Both sides load the same folder from the page cache, in fresh processes. */
async function measureStartup({ peer, threads, quick }: BenchContext, config: BenchConfig): Promise<CaseResult> {
  const cli = await compiledFile('packages/cli/dist/main.js');
  const folder = await mkdtemp(join(tmpdir(), 'diffuse-bench-'));
  try {
    await saveModel(config, folder);
    const command = {
      program: process.execPath,
      args: [
        ...[cli, 'sample', '--model', folder, '--out', join(folder, 'image.png'), '--count', '1', '--json'],
        ...['--sampler', 'ddim', '--steps', '2', '--threads', String(threads)],
      ],
    };
    // The processes end between measurements, so their CPU time counts to nobody: the load is not known.
    const ours = { pid: process.pid, run: () => timeUntilOutput(command, '"progress"') };
    const theirs = peer && { pid: process.pid, run: () => peer.startup(folder) };
    const times = await alternate(ours, theirs, { rounds: quick ? 3 : 5, judgeLoad: false });
    const ourTiming = { ...timing(times.ours), peakBytes: 0 };
    const side = peer && { name: peer.name, version: peer.version, variant: 'fresh process', ...timing(times.peer) };
    return {
      suite: 'startup',
      name: `${config.name}, first step`,
      precision: 'fp32',
      ours: ourTiming,
      ...(side && peerSide(ourTiming, side)),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
