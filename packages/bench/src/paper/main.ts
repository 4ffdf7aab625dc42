// Run by scripts/paper-speed.mjs, with the simulator in its environment: what training steps would take on GPUs that are not there.
//
//   main.ts --resources FILE [--gpus a100,h100,rtx4090] [--precision bf16] [--batch N]
//
// Every step is planned, and launched on the simulator with its work left out, for networks as large as those that people train; bytes
// and operations come from the shapes of each call and from what it passes to itself through scratch, registers and shared memory from the
// assembler, times from the roofline.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BenchConfig, selectConfigs } from '../configs.ts';
import { type Precision, precisions } from '../precision.ts';
import { gpus as knownGpus, selectGpus } from './gpus.ts';
import { paperCalls, readResources } from './paper.ts';
import { type PaperStep, paperText } from './paper-text.ts';
import type { PaperCall } from './predict.ts';

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

const { values } = parseArgs({
  options: {
    gpus: { type: 'string', default: Object.keys(knownGpus).join(',') },
    precision: { type: 'string', default: 'bf16' },
    batch: { type: 'string' },
    // What `pnpm build:cuda` says of entries.
    resources: { type: 'string', default: '' },
    // One step on the simulated GPU of this process, as JSON: for this program itself.
    step: { type: 'string' },
    files: { type: 'string' },
  },
});
const precision = precisions.find((known) => known === values.precision);
if (!precision) throw new RangeError(`--precision is '${values.precision}'; it must be ${precisions.join(' or ')}`);
const batch = values.batch === undefined ? undefined : Number(values.batch);
if (batch !== undefined && !(Number.isInteger(batch) && batch >= 1))
  throw new RangeError(`--batch is '${values.batch}'; it must be an integer of 1 or more`);

if (values.step === undefined) await tell(precision);
else
  process.stdout.write(JSON.stringify(await paperCalls(configOf(values.step), precision, filesIn(values.files ?? ''))));

function configOf(name: string): BenchConfig {
  const config = configs.find((known) => known.name === name);
  if (!config) throw new RangeError(`there is no network '${name}'`);
  return { ...config, batch: batch ?? config.batch };
}

function filesIn(folder: string): { log: string; traffic: string } {
  return { log: join(folder, 'log'), traffic: join(folder, 'traffic') };
}

async function tell(format: Precision): Promise<void> {
  const names = values.gpus.split(',');
  const chosen = selectGpus(names);
  for (const { name } of configs) {
    const steps: PaperStep[] = [];
    for (const [i, gpu] of chosen.entries()) {
      const calls = launched(name, names[i] ?? '');
      steps.push({ gpu, calls, resourcesOf: await readResources(values.resources, gpu) });
    }
    console.log(`${paperText(`${name}, batch ${configOf(name).batch}, ${format}`, steps)}\n`);
  }
}

/** The calls of a step, from a process whose only GPU is `gpu`. */
function launched(config: string, gpu: string): readonly PaperCall[] {
  const folder = mkdtempSync(join(tmpdir(), 'diffuse-paper-'));
  const { log, traffic } = filesIn(folder);
  const simulator = { CUDA_SIMULATOR_DEVICES: gpu, CUDA_SIMULATOR_MEMORY: '80G', CUDA_SIMULATOR_EXECUTE: 'off' };
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        ...process.execArgv,
        ...[fileURLToPath(import.meta.url), '--step', config, '--files', folder, '--precision', values.precision],
        ...(batch === undefined ? [] : ['--batch', String(batch)]),
      ],
      {
        env: { ...process.env, ...simulator, CUDA_SIMULATOR_LOG: log, CUDA_SIMULATOR_TRAFFIC: traffic },
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      },
    );
    if (status !== 0) throw new Error(`${config} on ${gpu} failed:\n${stderr}`);
    return JSON.parse(stdout) as PaperCall[];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
