import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { peakResidentBytes } from '../load-meter.ts';
import { type Command, timeUntilOutput } from './command.ts';
import { type JsonProcess, startJsonProcess } from './json-process.ts';
import type { FoundPeer, Peer, PreparedWork, Work } from './peer.ts';

/** How a peer is looked for. */
export interface PeerOptions {
  readonly threads: number;
  /** Also try what `torch.compile` makes of the network; that takes minutes. */
  readonly compile: boolean;
  /** Try the default environment only, and each variant once. */
  readonly quick: boolean;
  /** The process that answers; default the interpreter named by `PYTHON` with `peers/pytorch.py`. */
  readonly command?: Command;
}

const script = fileURLToPath(new URL('../../peers/pytorch.py', import.meta.url));

/** Where Debian and its descendants put it; faster than the C library's allocator for PyTorch's large blocks. */
const allocators = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(
  (target) => `/usr/lib/${target}/libtcmalloc_minimal.so.4`,
);

/** Environments that may be faster, by what they add to the name of a variant. */
function environments(quick: boolean): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Readonly<Record<string, string>>>([['', {}]]);
  if (quick) return found;
  found.set(', bound threads', { OMP_PROC_BIND: 'true' });
  const tcmalloc = allocators.find((path) => existsSync(path));
  if (tcmalloc !== undefined) {
    found.set(', tcmalloc', { LD_PRELOAD: tcmalloc });
    found.set(', tcmalloc, bound threads', { LD_PRELOAD: tcmalloc, OMP_PROC_BIND: 'true' });
  }
  return found;
}

/** PyTorch with diffusers, in Python processes of its own. */
export async function findPytorch(options: PeerOptions): Promise<FoundPeer> {
  const program = process.env.PYTHON ?? 'python3';
  const command = options.command ?? { program, args: [script] };
  const workers = workerPool(command, options.threads);
  const advice = 'set PYTHON to an interpreter that has torch and diffusers';
  try {
    const { hello } = await workers.get('', {});
    if (typeof hello.missing === 'string') {
      await workers.close();
      return { missing: `pytorch: ${hello.missing}; ${advice}` };
    }
    const version = [String(hello.version), ...(hello.diffusers ? [`diffusers ${hello.diffusers}`] : [])].join(', ');
    return { peer: createPeer(String(hello.name), version, command, workers, options) };
  } catch (error) {
    await workers.close();
    return { missing: `pytorch: ${(error as Error).message}; ${advice}` };
  }
}

interface Worker {
  readonly process: JsonProcess;
  readonly hello: Readonly<Record<string, unknown>>;
}

interface WorkerPool {
  get(name: string, env: Readonly<Record<string, string>>): Promise<Worker>;
  fresh(env: Readonly<Record<string, string>>): Promise<Worker>;
  close(): Promise<void>;
}

/** One process an environment, started when it is first needed. */
function workerPool(command: Command, threads: number): WorkerPool {
  const workers = new Map<string, Worker>();
  const fresh = async (env: Readonly<Record<string, string>>): Promise<Worker> => {
    const count = String(threads);
    // Builds with Intel's OpenMP would spin for 200 ms after each parallel region, into our measurement.
    const own = { OMP_NUM_THREADS: count, MKL_NUM_THREADS: count, KMP_BLOCKTIME: '5' };
    const process = await startJsonProcess({ ...command, env: { ...own, ...command.env, ...env } });
    try {
      return { process, hello: await process.ask({ command: 'hello', threads }) };
    } catch (error) {
      await process.close();
      throw error;
    }
  };
  return {
    fresh,
    async get(name, env) {
      const worker = workers.get(name) ?? (await fresh(env));
      workers.set(name, worker);
      return worker;
    },
    async close() {
      await Promise.all([...workers.values()].map((worker) => worker.process.close()));
      workers.clear();
    },
  };
}

/** A way of using the peer. */
interface Variant {
  readonly name: string;
  readonly environment: string;
}

function createPeer(name: string, version: string, command: Command, workers: WorkerPool, options: PeerOptions): Peer {
  const settings = environments(options.quick);
  const worker = (environment: string): Promise<Worker> => workers.get(environment, settings.get(environment) ?? {});
  // A trial is remembered: the memory suite does the work of the suite train-step again.
  const bestOf = new Map<string, Variant>();

  const prepareVariant = async (work: Work, { name: variant, environment }: Variant): Promise<PreparedWork> => {
    const { process } = await worker(environment);
    await process.ask({ command: 'prepare', work, variant });
    return {
      pid: process.pid,
      variant: variant + environment,
      run: async () => Number((await process.ask({ command: 'run' })).ms),
      release: async () => void (await process.ask({ command: 'release' })),
    };
  };
  const variantsOf = async (work: Work): Promise<string[]> => {
    const { process } = await worker('');
    return (await process.ask({ command: 'variants', work, compile: options.compile })).variants as string[];
  };
  /** Layouts in the default environment first, then the best layout in the other environments. */
  const best = async (work: Work): Promise<Variant> => {
    const key = JSON.stringify(work);
    const known = bestOf.get(key);
    if (known) return known;
    const time = (variant: Variant): Promise<number> =>
      trial(() => prepareVariant(work, variant), options.quick ? 1 : 2);
    const layouts = (await variantsOf(work)).map((variant) => ({ name: variant, environment: '' }));
    const layout = await fastest(layouts, time);
    const others = work.kind === 'op' ? [] : [...settings.keys()].filter((environment) => environment !== '');
    const found = await fastest([layout, ...others.map((environment) => ({ ...layout, environment }))], time);
    bestOf.set(key, found);
    return found;
  };
  return {
    name,
    version,
    prepare: async (work) => prepareVariant(work, await best(work)),
    async trainInFreshProcess(work, steps) {
      const variant = await best(work);
      const { process } = await workers.fresh(settings.get(variant.environment) ?? {});
      try {
        await process.ask({ command: 'prepare', work, variant: variant.name });
        const stepMs: number[] = [];
        for (let i = 0; i < steps; i++) stepMs.push(Number((await process.ask({ command: 'run' })).ms));
        return { stepMs, peakBytes: peakResidentBytes(process.pid), variant: variant.name + variant.environment };
      } finally {
        await process.close();
      }
    },
    startup: (folder) => timeUntilOutput({ ...command, args: [...command.args, '--startup', folder] }, 'step'),
    close: () => workers.close(),
  };
}

/** Best of a few runs after one that warms up. */
async function trial(prepare: () => Promise<PreparedWork>, runs: number): Promise<number> {
  const prepared = await prepare();
  const times: number[] = [];
  await prepared.run();
  for (let i = 0; i < runs; i++) times.push(await prepared.run());
  await prepared.release();
  return Math.min(...times);
}

/** A variant that fails is out of the race; if all fail, the first failure is reported. */
async function fastest(variants: readonly Variant[], time: (variant: Variant) => Promise<number>): Promise<Variant> {
  if (variants.length === 1) return variants[0] as Variant;
  let best: { variant: Variant; ms: number } | undefined;
  let failure: unknown;
  for (const variant of variants) {
    try {
      const ms = await time(variant);
      if (!best || ms < best.ms) best = { variant, ms };
    } catch (error) {
      failure ??= error;
    }
  }
  if (!best) throw failure;
  return best.variant;
}
