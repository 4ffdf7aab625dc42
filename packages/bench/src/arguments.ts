import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type DeviceName, DiffuseError } from '@diffuse/core';
import { benchConfigs, selectConfigs } from './configs.ts';
import { peers } from './peers/index.ts';
import { type Precision, precisions } from './precision.ts';
import { suites } from './suites/index.ts';

/** What the command line asks for. */
export type BenchRequest =
  | { readonly command: 'help' }
  | { readonly command: 'compare'; readonly before: string; readonly after: string }
  | {
      readonly command: 'profile' | 'roofline';
      /** Names of configurations. */
      readonly configs: readonly string[];
      readonly device: DeviceName;
      readonly threads: number;
      readonly isa: string | undefined;
      readonly precision: Precision;
      readonly tf32: boolean;
      /** Tell of every call how it is computed. */
      readonly explain: boolean;
    }
  | RunRequest;

/** A benchmark run. */
export interface RunRequest {
  readonly command: 'run';
  readonly suites: readonly string[];
  /** Names of configurations. */
  readonly configs: readonly string[];
  /** Names of the libraries that are timed beside ours; the first that can do a case is taken for it. */
  readonly peers: readonly string[];
  /** Only cases whose name has this in it are run; empty for all. */
  readonly only: string;
  /** Where ours and the peers compute. */
  readonly device: DeviceName;
  readonly precision: Precision;
  /** Whether both sides may multiply float32 as tf32. */
  readonly tf32: boolean;
  /** Instruction set that both sides are held to; undefined leaves each the best that the CPU has. */
  readonly isa: string | undefined;
  /** File to write the result to. */
  readonly json: string | undefined;
  readonly quick: boolean;
  readonly compile: boolean;
  readonly threads: number;
}

/** Instruction sets that both sides can be held to. */
const isas = ['avx2'];

/** Text of `--help`. */
export function helpText(): string {
  const configs = benchConfigs().map(({ name }) => name);
  return `usage: pnpm bench [suite…] [options]
       pnpm bench compare BEFORE.json AFTER.json
       pnpm bench profile|roofline [--configs S,M,L] [--device D] [--tf32] [--precision P] [--threads N] [--isa NAME] [--explain]

Suites (default: all that take minutes; quality and convergence by name only)
${suites.map(({ name, description }) => `  ${name.padEnd(12)} ${description}`).join('\n')}

Options
  --peer LIST     time other libraries in the same run, in turn with ours: ${Object.keys(peers).join(', ')}
                  (PYTHON names the interpreter that has torch and diffusers, ONNXRUNTIME a folder that has
                  onnxruntime-node in its node_modules)
  --only TEXT     cases with this in their name, such as 'forward'
  --device D      where both sides compute: cpu, cuda, cuda:1 … (default: cpu)
  --tf32          on a GPU both sides multiply float32 on tensor cores, which keep 10 of its 23 bits of mantissa
  --precision P   number format: ${precisions.join(', ')} (default: fp32)
  --isa NAME      hold both sides to an instruction set: ${isas.join(', ')}
  --configs LIST  networks: ${configs.join(', ')} (default: all)
  --threads N     threads of either side (default: all cores)
  --quick         fewer measurements, fewer variants of the peer
  --compile       also try the peer's compiler, which takes minutes
  --json FILE     write the result to FILE
  --help          this text

compare shows how two results differ; profile shows where the time of a training step goes, and with
--explain by which algorithm each convolution runs; roofline, or --roofline, holds it against what the machine
could do at most.`;
}

const options = {
  peer: { type: 'string' },
  json: { type: 'string' },
  configs: { type: 'string' },
  only: { type: 'string' },
  device: { type: 'string' },
  tf32: { type: 'boolean' },
  precision: { type: 'string' },
  isa: { type: 'string' },
  threads: { type: 'string' },
  roofline: { type: 'boolean' },
  explain: { type: 'boolean' },
  quick: { type: 'boolean' },
  compile: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

/** Reads the command line. @throws `ERR_ARGUMENT`: one line that names what is wrong and what would be right. */
export function parseBenchArguments(args: readonly string[]): BenchRequest {
  // Some package managers pass on the `--` before their scripts' arguments.
  const given = args[0] === '--' ? args.slice(1) : [...args];
  const { values, positionals } = parse(given);
  const { json, only = '', quick = false, compile = false, tf32 = false, help = false } = values;
  if (help) return { command: 'help' };
  const [first, ...rest] = positionals;
  if (first === 'compare') return compareRequest(rest);
  const configs = configNames(values.configs);
  const threads = threadCount(values.threads);
  const isa = values.isa === undefined ? undefined : oneOf('--isa', values.isa, isas);
  const precision = oneOf('--precision', values.precision ?? 'fp32', precisions);
  const device = deviceName(values.device ?? 'cpu');
  if (device !== 'cpu' && isa !== undefined)
    throw usage(`--isa holds a CPU to an instruction set; --device is ${device}`);
  if (tf32 && device === 'cpu') throw usage('--tf32 is for GPUs; --device is cpu');
  if (tf32 && precision !== 'fp32') throw usage(`--tf32 is a way to multiply float32; --precision is ${precision}`);
  const command = values.roofline === true ? 'roofline' : first;
  if (command === 'roofline' && device !== 'cpu')
    throw usage('roofline measures what the CPU could do; --device must be cpu');
  if (command === 'profile' || command === 'roofline') {
    const [extra] = first === command ? rest : positionals;
    if (extra === undefined)
      return { command, configs, device, threads, isa, precision, tf32, explain: values.explain === true };
    throw usage(`${command} takes no '${extra}'; the networks are chosen by --configs`);
  }
  if (json === '') throw usage('--json: the name of the file is empty');
  return {
    ...{ command: 'run', suites: suiteNames(positionals, device), configs, device, peers: peerNames(values.peer) },
    ...{ precision, tf32, isa, json, only, quick, compile, threads },
  };
}

function peerNames(list: string | undefined): readonly string[] {
  const names = list === undefined ? [] : [...new Set(list.split(','))];
  const unknown = names.find((name) => !Object.hasOwn(peers, name));
  if (unknown === undefined) return names;
  throw usage(`--peer: there is no peer '${unknown}'; there are ${Object.keys(peers).join(', ')}`);
}

function oneOf<Name extends string>(option: string, given: string, known: readonly Name[]): Name {
  const found = known.find((name) => name === given);
  if (found !== undefined) return found;
  throw usage(`${option} is '${given}'; it must be ${known.join(' or ')}`);
}

function deviceName(given: string): DeviceName {
  if (/^(?:cpu|cuda(?::\d{1,3})?)$/.test(given)) return given as DeviceName;
  throw usage(`--device is '${given}'; it must be cpu, cuda or cuda:N`);
}

function parse(args: string[]): ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    const [problem] = (error as Error).message.split(/[.\n]/);
    throw usage(`${problem}; see pnpm bench --help`);
  }
}

function compareRequest(files: readonly string[]): BenchRequest {
  const [before, after, ...more] = files;
  if (before === undefined || after === undefined || more.length > 0) {
    throw usage(`compare takes two files, BEFORE.json and AFTER.json; ${files.length} given`);
  }
  return { command: 'compare', before, after };
}

function suiteNames(names: readonly string[], device: DeviceName): readonly string[] {
  const known = suites.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw usage(`there is no suite '${unknown}'; there are ${known.join(', ')}`);
  return suites
    .filter(({ name, byNameOnly = false, cpuOnly = false }) =>
      names.length > 0 ? names.includes(name) : !byNameOnly && (device === 'cpu' || !cpuOnly),
    )
    .map(({ name }) => name);
}

function configNames(list: string | undefined): readonly string[] {
  if (list === undefined) return benchConfigs().map(({ name }) => name);
  const names = [...new Set(list.split(','))];
  return selectConfigs(names).map(({ name }) => name);
}

function threadCount(given: string | undefined): number {
  if (given === undefined) return availableParallelism();
  const threads = Number(given);
  if (!/^\d+$/.test(given) || threads < 1 || threads > 1024) {
    throw usage(`--threads is '${given}'; it must be an integer from 1 to 1024`);
  }
  return threads;
}

function usage(problem: string): DiffuseError {
  return new DiffuseError('ERR_ARGUMENT', problem);
}
