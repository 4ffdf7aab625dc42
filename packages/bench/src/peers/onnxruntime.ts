import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DiffuseError } from '@diffuse/core';
import type { Command } from './command.ts';
import { type JsonProcess, prepareIn, startJsonProcess } from './json-process.ts';
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

const runtimeAdvice = 'set ONNXRUNTIME to a folder that has onnxruntime-node in its node_modules';
const exporterAdvice = 'its networks are written by PyTorch: set PYTHON to an interpreter that has torch and diffusers';

/**
 * The ONNX runtime for Node.js: forward passes in float32. The networks are diffusers', written as ONNX by PyTorch, so that it needs
 * `PYTHON` as well.
 */
export async function findOnnxruntime(
  { device = 'cpu', threads, isa, precision, quick }: PeerOptions,
  commands: OnnxCommands = ownCommands(),
): Promise<FoundPeer> {
  if (device !== 'cpu') return { missing: `onnxruntime: it is measured on the CPU only, not on ${device}` };
  if (isa !== undefined) return { missing: `onnxruntime: it cannot be held to ${isa}` };
  if (precision !== 'fp32') return { missing: 'onnxruntime: its CPU backend computes these networks in fp32 only' };
  const home = process.env.ONNXRUNTIME ?? process.cwd();
  const opened: JsonProcess[] = [];
  const close = async (): Promise<void> => {
    for (const child of opened) await child.close();
  };
  /** Starts a process and greets it. @throws with what would help when it does not have what it needs. */
  const open = async (
    command: Command,
    greeting: Readonly<Record<string, unknown>>,
    advice: string,
  ): Promise<Opened> => {
    try {
      const child = await startJsonProcess(command);
      opened.push(child);
      const hello = await child.ask({ command: 'hello', threads, ...greeting });
      if (typeof hello.missing === 'string') throw new DiffuseError('ERR_DEVICE', hello.missing);
      return { child, hello };
    } catch (error) {
      throw new DiffuseError('ERR_DEVICE', `${(error as Error).message}; ${advice}`, { cause: error });
    }
  };
  try {
    const runtime = await open(commands.runtime, { home }, runtimeAdvice);
    const exporter = await open(commands.exporter, { precision }, exporterAdvice);
    return { peer: await createPeer(runtime, exporter.child, quick, close) };
  } catch (error) {
    await close();
    return { missing: `onnxruntime: ${(error as Error).message}` };
  }
}

interface Opened {
  readonly child: JsonProcess;
  readonly hello: Readonly<Record<string, unknown>>;
}

async function createPeer(
  { child: runtime, hello }: Opened,
  exporter: JsonProcess,
  quick: boolean,
  closeProcesses: () => Promise<void>,
): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'diffuse-bench-onnx-'));
  const prepareVariant = (path: string, variant: string): Promise<PreparedWork> =>
    prepareIn(runtime, { path, variant }, variant);
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
      const { best, tried } = await tryVariants(variants, String, (variant) => prepareVariant(path, variant), !quick);
      return { ...(await prepareVariant(path, best)), tried };
    },
    async close() {
      await closeProcesses();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
