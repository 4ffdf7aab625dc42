// Run by scripts/paper-speed.mjs, with the simulator in its environment: what training steps would take on GPUs that are not there.
// Without --resources it only reads the command line: so what is wrong with it is said before anything is built.
//
// Every step is planned, and launched on the simulator with its work left out, for networks as large as those that people train; bytes
// and operations come from the shapes of each call and from what it passes to itself through scratch, registers and shared memory from the
// assembler, times from the roofline.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DiffuseError } from '@diffuse/core';
import { type BenchConfig, selectConfigs } from '../configs.ts';
import { helpText, type PaperRequest, parsePaperArguments } from './arguments.ts';
import { selectGpus } from './gpus.ts';
import { type PaperCalls, paperCalls, readResources } from './paper.ts';
import { type PaperStep, paperText } from './paper-text.ts';

/** As ADM's for ImageNet at 64x64 (Dhariwal and Nichol 2021, arXiv:2105.05233, table 4): 192 channels, attention from 32x32 on. */
const imageNet64: BenchConfig = {
  name: 'ImageNet 64x64',
  batch: 64,
  diffusers: {
    sample_size: 64,
    in_channels: 3,
    out_channels: 3,
    layers_per_block: 3,
    block_out_channels: [192, 384, 576, 768],
    down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
    up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    attention_head_dim: 64,
    norm_num_groups: 32,
  },
};
/** On GPUs a step has more images than on CPUs. */
const configs = [...selectConfigs(['L']).map((config) => ({ ...config, batch: 128 })), imageNet64];

try {
  await perform(parsePaperArguments(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`cuda:paper: ${(error as Error).message}\n`);
  process.exitCode = error instanceof DiffuseError && error.code === 'ERR_ARGUMENT' ? 2 : 1;
}

async function perform(request: PaperRequest): Promise<void> {
  const { help, resources, network, files, precision } = request;
  if (help) process.stdout.write(`${helpText()}\n`);
  else if (network !== undefined)
    process.stdout.write(JSON.stringify(await paperCalls(configOf(network, request), precision, filesIn(files))));
  else if (resources !== undefined) await tell(request, resources);
}

function configOf(name: string, { batch }: PaperRequest): BenchConfig {
  const config = configs.find((known) => known.name === name);
  if (!config) throw new DiffuseError('ERR_ARGUMENT', `there is no network '${name}'`);
  return { ...config, batch: batch ?? config.batch };
}

function filesIn(folder: string): { log: string; traffic: string } {
  return { log: join(folder, 'log'), traffic: join(folder, 'traffic') };
}

async function tell(request: PaperRequest, resources: string): Promise<void> {
  const chosen = selectGpus(request.gpus);
  for (const { name } of configs) {
    const steps: PaperStep[] = [];
    const others: PaperStep[] = [];
    for (const [i, gpu] of chosen.entries()) {
      const calls = launched(name, request.gpus[i] ?? '', request);
      const resourcesOf = await readResources(resources, gpu);
      steps.push({ gpu, calls: calls.step, resourcesOf });
      others.push({ gpu, calls: calls.others, resourcesOf });
    }
    const title = `${name}, batch ${configOf(name, request).batch}, ${request.precision}`;
    console.log(`${paperText(`${title}, training step`, steps)}\n`);
    console.log(`${paperText(`${title}, one call of each other kernel`, others)}\n`);
  }
}

/** The calls of a network, from a process whose only GPU is `gpu`. */
function launched(network: string, gpu: string, { precision, batch }: PaperRequest): PaperCalls {
  const folder = mkdtempSync(join(tmpdir(), 'diffuse-paper-'));
  const { log, traffic } = filesIn(folder);
  const simulator = { CUDA_SIMULATOR_DEVICES: gpu, CUDA_SIMULATOR_MEMORY: '80G', CUDA_SIMULATOR_EXECUTE: 'off' };
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        ...process.execArgv,
        ...[fileURLToPath(import.meta.url), '--network', network, '--files', folder, '--precision', precision],
        ...(batch === undefined ? [] : ['--batch', String(batch)]),
      ],
      {
        env: { ...process.env, ...simulator, CUDA_SIMULATOR_LOG: log, CUDA_SIMULATOR_TRAFFIC: traffic },
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      },
    );
    if (status !== 0) throw new DiffuseError('ERR_DEVICE', `${network} on ${gpu} failed:\n${stderr}`);
    return JSON.parse(stdout) as PaperCalls;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
