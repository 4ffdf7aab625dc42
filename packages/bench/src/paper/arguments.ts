import { parseArgs } from 'node:util';
import { DiffuseError } from '@diffuse/core';
import { type Precision, precisions } from '../precision.ts';
import { gpus, selectGpus } from './gpus.ts';

/** What the command line asks for. */
export interface PaperRequest {
  readonly help: boolean;
  /** Names of GPUs. */
  readonly gpus: readonly string[];
  readonly precision: Precision;
  /** Images of a step; undefined: as each network has them. */
  readonly batch: number | undefined;
  /** The file of what `pnpm build:cuda` says of entries; undefined: nothing is to be done but to read the command line. */
  readonly resources: string | undefined;
  /** One network's calls on the simulated GPU of this process, as JSON, its records in `files`: for the program itself. */
  readonly network: string | undefined;
  readonly files: string;
}

const defaultGpus = ['a100', 'h100', 'rtx4090'];

/** Text of `--help`. */
export function helpText(): string {
  const names = Object.entries(gpus).map(([name, { name: title }]) => `${name} (${title})`);
  return `usage: pnpm cuda:paper [options]

What training steps of L and of a U-Net for ImageNet at 64x64 would take on GPUs that are not here, kernel by kernel and shape by
shape, and one call of every other kernel. Needs nvcc, no GPU; nothing is measured.

Options
  --gpus LIST     ${names.join(', ')}
                  (default: ${defaultGpus.join(',')})
  --precision P   number format: ${precisions.join(', ')} (default: bf16)
  --batch N       images of a step (default: 128 for L, 64 for ImageNet 64x64)
  --help          this text`;
}

const options = {
  gpus: { type: 'string' },
  precision: { type: 'string' },
  batch: { type: 'string' },
  resources: { type: 'string' },
  network: { type: 'string' },
  files: { type: 'string' },
  help: { type: 'boolean' },
} as const;

/** Reads the command line. @throws `ERR_ARGUMENT`: one line that names what is wrong and what would be right. */
export function parsePaperArguments(args: readonly string[]): PaperRequest {
  // Some package managers pass on the `--` before their scripts' arguments.
  const { help = false, files = '', ...values } = parse(args.filter((argument) => argument !== '--'));
  const names = values.gpus === undefined ? defaultGpus : [...new Set(values.gpus.split(','))];
  selectGpus(names);
  const { resources, network, precision: format = 'bf16' } = values;
  const precision = precisions.find((known) => known === format);
  if (!precision) throw usage(`--precision is '${format}'; it must be ${precisions.join(' or ')}`);
  return { help, gpus: names, precision, batch: batchOf(values.batch), resources, network, files };
}

function parse(args: string[]): ReturnType<typeof parseArgs<{ options: typeof options }>>['values'] {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const [problem] = (error as Error).message.split(/[.\n]/);
    throw usage(`${problem}; see pnpm cuda:paper --help`);
  }
}

function batchOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const batch = Number(given);
  if (!/^\d+$/.test(given) || batch < 1 || batch > 65536)
    throw usage(`--batch is '${given}'; it must be an integer from 1 to 65536`);
  return batch;
}

function usage(problem: string): DiffuseError {
  return new DiffuseError('ERR_ARGUMENT', problem);
}
