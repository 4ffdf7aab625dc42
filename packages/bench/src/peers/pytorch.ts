import { fileURLToPath } from 'node:url';
import { peakResidentBytes } from '../load-meter.ts';
import { peerPrecision } from '../precision.ts';
import { type Command, timeUntilOutput } from './command.ts';
import { environments, limits } from './environments.ts';
import { prepareIn } from './json-process.ts';
import type { FoundPeer, Peer, PeerOptions, PreparedWork, Work } from './peer.ts';
import { type Trial, tryVariants } from './trial.ts';
import { type Worker, type WorkerPool, workerPool } from './worker-pool.ts';

const script = fileURLToPath(new URL('../../peers/pytorch/main.py', import.meta.url));

/** The interpreter named by `PYTHON` with our script. */
export function pytorchCommand(): Command {
  return { program: process.env.PYTHON ?? 'python3', args: [script] };
}

/** PyTorch with diffusers, in Python processes of its own. @param command the process that answers. */
export async function findPytorch(options: PeerOptions, command: Command = pytorchCommand()): Promise<FoundPeer> {
  const { device = 'cpu', threads, isa, precision, tf32 = false } = options;
  const held = { ...command, env: { ...limits(threads, isa), ...command.env } };
  const workers = workerPool(held, { device, threads, precision: peerPrecision(precision), tf32 });
  const advice = 'set PYTHON to an interpreter that has torch and diffusers';
  try {
    const { hello } = await workers.get('', {});
    if (typeof hello.missing === 'string') {
      await workers.close();
      return { missing: `pytorch: ${hello.missing}; ${advice}` };
    }
    return { peer: createPeer(hello, held, workers, options) };
  } catch (error) {
    await workers.close();
    return { missing: `pytorch: ${(error as Error).message}; ${advice}` };
  }
}

/** A way of using the peer. */
interface Variant {
  readonly name: string;
  readonly environment: string;
}

const nameOf = ({ name, environment }: Variant): string => name + environment;

function createPeer(hello: Worker['hello'], command: Command, workers: WorkerPool, options: PeerOptions): Peer {
  // Allocators and bound threads make no difference to a GPU.
  const { byName: settings, notes } = environments(options.quick || (options.device ?? 'cpu') !== 'cpu');
  const worker = (environment: string): Promise<Worker> => workers.get(environment, settings.get(environment) ?? {});
  // A trial is remembered: the memory suite does the work of the suite train-step again.
  const trials = new Map<string, Trial<Variant>>();

  const prepareVariant = async (work: Work, variant: Variant): Promise<PreparedWork> => {
    const { process } = await worker(variant.environment);
    return prepareIn(process, { work, variant: variant.name }, nameOf(variant));
  };
  const variantsOf = async (work: Work): Promise<string[]> => {
    const { process } = await worker('');
    return (await process.ask({ command: 'variants', work, compile: options.compile })).variants as string[];
  };
  /** Layouts and compilers in the default environment first, then the best of them in the other environments. */
  const trialOf = async (work: Work): Promise<Trial<Variant>> => {
    const key = JSON.stringify(work);
    const known = trials.get(key);
    if (known) return known;
    const race = (variants: readonly Variant[]): Promise<Trial<Variant>> =>
      tryVariants(variants, nameOf, (variant) => prepareVariant(work, variant), !options.quick);
    const ways = await race((await variantsOf(work)).map((name) => ({ name, environment: '' })));
    const others = [...settings.keys()].filter((environment) => environment !== '');
    const final = await race([ways.best, ...others.map((environment) => ({ ...ways.best, environment }))]);
    const found = { best: final.best, tried: { ...ways.tried, ...final.tried } };
    trials.set(key, found);
    return found;
  };
  return {
    name: String(hello.name),
    version: [String(hello.version), ...(hello.diffusers ? [`diffusers ${hello.diffusers}`] : [])].join(', '),
    kinds: ['train-step', 'sample', 'op'],
    notes: [
      ...notes,
      ...(hello.device ? [gpuNote(String(hello.device), options.tf32)] : []),
      ...(options.isa === undefined ? [] : [`pytorch, held to ${options.isa}, computes with ${hello.isa}`]),
    ],
    async prepare(work) {
      const { best, tried } = await trialOf(work);
      return { ...(await prepareVariant(work, best)), tried };
    },
    async trainInFreshProcess(work, steps) {
      const { best } = await trialOf(work);
      const { process } = await workers.fresh(settings.get(best.environment) ?? {});
      try {
        await process.ask({ command: 'prepare', work, variant: best.name });
        const stepMs: number[] = [];
        for (let i = 0; i < steps; i++) stepMs.push(Number((await process.ask({ command: 'run' })).ms));
        return { stepMs, peakBytes: peakResidentBytes(process.pid), variant: nameOf(best) };
      } finally {
        await process.close();
      }
    },
    startup: (folder) => timeUntilOutput({ ...command, args: [...command.args, '--startup', folder] }, 'step'),
    close: () => workers.close(),
  };
}

/** What a reader must know of PyTorch on a GPU. */
function gpuNote(name: string, tf32 = false): string {
  const products = tf32 ? 'multiplied as tf32' : 'without tf32';
  return `pytorch computes on ${name}, float32 ${products}; its ops are timed by events around a loop, ours by events around each call`;
}
