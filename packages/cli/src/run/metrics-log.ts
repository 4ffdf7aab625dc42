import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TrainProgress } from '@diffuse/core';
import { messageOf, runFailure } from '../failure.ts';
import { syncDirectory, writeDurably } from './write-durably.ts';

/** `metrics.jsonl`: one line a step, with nothing in it that differs between two runs of the same settings. */
export interface MetricsLog {
  /** Adds the line of a step; it reaches the file with the next {@link flush}. */
  add(progress: TrainProgress): void;
  /** Makes all lines durable. Called before a checkpoint is written, so that none is ahead of its metrics. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Lines are handed to the system in pieces of about this size. */
const pieceLength = 64 * 1024;

/**
 * Opens the metrics of a run that has done `step` steps. Lines of later steps, from a process that was killed after its last
 * checkpoint, are cut off: the steps will be done again, with the same numbers.
 *
 * @throws Failure when the file cannot be read or written.
 */
export async function openMetricsLog(path: string, step: number): Promise<MetricsLog> {
  const existing = await readExisting(path);
  const kept = linesUpTo(existing, step);
  if (kept !== existing) await writeDurably(path, kept);
  const handle = await attempt(path, () => open(path, 'a'));
  await syncDirectory(dirname(path));
  let pending = '';
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    const piece = pending;
    pending = '';
    writing = writing.then(() => (piece === '' ? undefined : attempt(path, () => append(handle, piece))));
    return writing;
  };
  return {
    add({ step, loss, gradientNorm, learningRate, outputs }) {
      pending += `${JSON.stringify({ step, loss, gradientNorm, learningRate, ...outputs })}\n`;
      // A failure is reported by the flush that follows.
      if (pending.length >= pieceLength) write().catch(() => undefined);
    },
    async flush() {
      await write();
      await attempt(path, () => handle.datasync());
    },
    async close() {
      try {
        await write();
      } finally {
        await handle.close();
      }
    },
  };
}

async function append(handle: FileHandle, piece: string): Promise<void> {
  await handle.appendFile(piece);
}

async function readExisting(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw runFailure(new Error(`cannot read ${path}: ${messageOf(error)}`, { cause: error }));
  }
}

/** The beginning of a log: whole lines of the steps 1 … `step`, up to the first line that is not the next step's. */
function linesUpTo(log: string, step: number): string {
  let end = 0;
  for (let expected = 1; expected <= step; expected++) {
    const lineEnd = log.indexOf('\n', end);
    if (lineEnd < 0 || !log.startsWith(`{"step":${expected},`, end)) break;
    end = lineEnd + 1;
  }
  return log.slice(0, end);
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw runFailure(new Error(`cannot write ${path}: ${messageOf(error)}`, { cause: error }));
  }
}
