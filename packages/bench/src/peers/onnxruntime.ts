import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from './command.ts';
import { type JsonProcess, startJsonProcess } from './json-process.ts';
import type { FoundPeer, Peer, PeerOptions, PreparedWork, Work } from './peer.ts';
import { pytorchCommand } from './pytorch.ts';
import { tryVariants } from './trial.ts';

const script = fileURLToPath(new URL('../../peers/onnxruntime/main.mjs', import.meta.url));

/** The processes of this peer: the runtime, and the one that writes networks as ONNX files for it. */
export interface OnnxCommands {
  readonly runtime: Command;
  readonly exporter: Command;
}

function ownCommands(): OnnxCommands {
  return { runtime: { program: process.execPath, args: [script] }, exporter: pytorchCommand() };
}

const advice = 'set ONNXRUNTIME to a folder that has onnxruntime-node in its node_modules';

/**
 * The ONNX runtime for Node.js: forward passes in float32. The networks are diffusers', written as ONNX by PyTorch, so that it needs
 * `PYTHON` as well.
 */
export async function findOnnxruntime(
  { threads, isa, precision }: PeerOptions,
  commands: OnnxCommands = ownCommands(),
): Promise<FoundPeer> {
  if (isa !== undefined) return { missing: `onnxruntime: it cannot be held to ${isa}` };
  if (precision !== 'fp32') return { missing: 'onnxruntime: its CPU backend computes these networks in fp32 only' };
  const home = process.env.ONNXRUNTIME ?? process.cwd();
  const runtime = await startJsonProcess(commands.runtime);
  const exporter = await openExporter(commands.exporter, threads);
  const close = async (): Promise<void> => {
    await runtime.close();
    if ('process' in exporter) await exporter.process.close();
  };
  try {
    const hello = await runtime.ask({ command: 'hello', threads, home });
    const missing = typeof hello.missing === 'string' ? `${hello.missing}; ${advice}` : undefined;
    const problem = missing ?? ('missing' in exporter ? exporter.missing : undefined);
    if ('process' in exporter && problem === undefined)
      return { peer: await createPeer(hello, runtime, exporter.process, close) };
    await close();
    return { missing: `onnxruntime: ${problem}` };
  } catch (error) {
    await close();
    return { missing: `onnxruntime: ${(error as Error).message}; ${advice}` };
  }
}

/** PyTorch, which writes the files. */
async function openExporter(
  command: Command,
  threads: number,
): Promise<{ readonly process: JsonProcess } | { readonly missing: string }> {
  const why = 'its networks are written by PyTorch: set PYTHON to an interpreter that has torch and diffusers';
  try {
    const process = await startJsonProcess(command);
    const hello = await process.ask({ command: 'hello', threads, precision: 'fp32' }).catch((error: Error) => error);
    if (!(hello instanceof Error) && hello.missing === undefined) return { process };
    await process.close();
    return { missing: `${hello instanceof Error ? hello.message : hello.missing}; ${why}` };
  } catch (error) {
    return { missing: `${(error as Error).message}; ${why}` };
  }
}

async function createPeer(
  hello: Readonly<Record<string, unknown>>,
  runtime: JsonProcess,
  exporter: JsonProcess,
  closeProcesses: () => Promise<void>,
): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'diffuse-bench-onnx-'));
  const prepareVariant = async (path: string, variant: string): Promise<PreparedWork> => {
    await runtime.ask({ command: 'prepare', path, variant });
    return {
      pid: runtime.pid,
      variant,
      run: async () => Number((await runtime.ask({ command: 'run' })).ms),
      release: async () => void (await runtime.ask({ command: 'release' })),
    };
  };
  return {
    name: String(hello.name),
    version: String(hello.version),
    kinds: ['forward'],
    notes: [],
    async prepare(work: Work) {
      const path = join(folder, 'network.onnx');
      await exporter.ask({ command: 'export', work, path });
      // Its threads may spin while they wait for the next op, or sleep: which is faster depends on who else computes.
      const variants = ['spinning', 'sleeping'];
      const { best, tried } = await tryVariants(variants, String, (variant) => prepareVariant(path, variant), 3);
      return { ...(await prepareVariant(path, best)), tried };
    },
    async close() {
      await closeProcesses();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
