import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { headBytes } from './file-kind.ts';

const pieceBytes = 2 ** 20;

/** How the content of a file is named in caches. */
export function contentHash(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** What {@link hashFile} read. */
export interface HashedFile {
  /** SHA-256 as 64 hexadecimal digits. */
  readonly hash: string;
  /** All of it, if it is no longer than a piece (1 MiB). */
  readonly content: Uint8Array | undefined;
}

/**
 * Hashes a file piece by piece.
 *
 * @param wanted is shown the first 4096 bytes (or all of a shorter file); when it says no, the rest is not read.
 * @returns `undefined` for a file that is not wanted.
 */
export async function hashFile(path: string, wanted: (head: Uint8Array) => boolean): Promise<HashedFile | undefined> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const piece = Buffer.allocUnsafe(Math.max(headBytes, Math.min(size, pieceBytes)));
    const hash = createHash('sha256');
    let position = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, position);
      if (position === 0 && !wanted(piece.subarray(0, Math.min(bytesRead, headBytes)))) return undefined;
      const whole = position === 0 && bytesRead === size;
      hash.update(piece.subarray(0, bytesRead));
      position += bytesRead;
      if (bytesRead > 0 && position !== size) continue;
      return { hash: hash.digest('hex'), content: whole ? piece.subarray(0, bytesRead) : undefined };
    }
  } finally {
    await file.close();
  }
}
