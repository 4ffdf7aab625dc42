import { fileURLToPath } from 'node:url';
import { prepareIn, startJsonProcess } from './json-process.ts';
import type { Peer, PreparedWork } from './peer.ts';
import { tryVariants } from './trial.ts';

const script = fileURLToPath(new URL('../../peers/sharp/main.mjs', import.meta.url));

/** sharp alone, in a process of its own. */
export interface SharpPeer extends Peer {
  /** Writes square JPEG files of `side` pixels into a folder. */
  makeImages(folder: string, count: number, side: number): Promise<void>;
}

/** The library that decodes for us; it is always there. @throws `ERR_DEVICE` when its process cannot be started. */
export async function openSharp(threads: number): Promise<SharpPeer> {
  const process = await startJsonProcess({ program: globalThis.process.execPath, args: [script] });
  const hello = await process.ask({ command: 'hello', threads });
  return {
    name: String(hello.name),
    version: String(hello.version),
    kinds: ['decode'],
    notes: [],
    async makeImages(folder, count, side) {
      await process.ask({ command: 'make', folder, count, side });
    },
    async prepare(work) {
      const prepareVariant = (variant: string): Promise<PreparedWork> => prepareIn(process, { work, variant }, variant);
      const variants = ['all threads an image', 'a thread an image'];
      const { best, tried } = await tryVariants(variants, String, prepareVariant, false);
      return { ...(await prepareVariant(best)), tried };
    },
    close: () => process.close(),
  };
}
