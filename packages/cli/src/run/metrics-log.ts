import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TrainProgress } from '@diffuse/core';
import { messageOf, runFailure } from '../failure.ts';
import { syncDirectory, writeDurably } from './write-durably.ts';

/** A line of `metrics.jsonl` that tells what an evaluation found. */
export interface EvaluationLine {
  /** Steps done when the model was as it was judged. */
  readonly step: number;
  readonly evaluation: Readonly<Record<string, unknown>>;
}

/**
 * `metrics.jsonl`: one line a step, and one after it where the model was evaluated, with nothing in it that differs between two runs of
 * the same settings.
 */
export interface MetricsLog {
  /** Whether the last line of the file tells of an evaluation of the step that the run goes on from. */
  readonly evaluated: boolean;
  /** Adds the line of a step; it reaches the file with the next {@link flush}. */
  add(progress: TrainProgress): void;
  /**
   * Keeps the place of a line that is not known yet. Lines that are added meanwhile come after it, and reach the file after it.
   *
   * @returns to be called once with the line, or with undefined if there will be none.
   */
  reserve(): (line: EvaluationLine | undefined) => void;
  /** Makes all lines durable, up to one that is not known yet. Called before a checkpoint is written, so that none is ahead of its metrics. */
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
  // Texts in the order of the file; one that is undefined is still to come.
  const pending: { text: string | undefined }[] = [];
  let size = 0;
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    const unknown = pending.findIndex(({ text }) => text === undefined);
    const known = pending.splice(0, unknown < 0 ? pending.length : unknown);
    const piece = known.map(({ text }) => text).join('');
    size = 0;
    writing = writing.then(() => (piece === '' ? undefined : attempt(path, () => append(handle, piece))));
    return writing;
  };
  return {
    evaluated: lastLine(kept).startsWith(evaluationStart(step)),
    add({ step, loss, gradientNorm, learningRate, outputs }) {
      const text = `${JSON.stringify({ step, loss, gradientNorm, learningRate, ...outputs })}\n`;
      pending.push({ text });
      size += text.length;
      // A failure is reported by the flush that follows.
      if (size >= pieceLength) write().catch(() => undefined);
    },
    reserve() {
      const place: { text: string | undefined } = { text: undefined };
      pending.push(place);
      return (line) => {
        place.text = line ? `${JSON.stringify(line)}\n` : '';
      };
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

/**
 * The beginning of a log: whole lines of the steps 1 … `step` with their evaluations, up to the first line that is neither the next
 * step's nor an evaluation of this one.
 */
function linesUpTo(log: string, step: number): string {
  let end = 0;
  for (let expected = 1; expected <= step; expected++) {
    const stepEnd = endOfLine(log, end, `{"step":${expected},"loss":`);
    if (stepEnd === undefined) break;
    end = endOfLine(log, stepEnd, evaluationStart(expected)) ?? stepEnd;
  }
  return log.slice(0, end);
}

/** Where the next line begins, if the one that begins at `at` is whole and begins with `start`. */
function endOfLine(log: string, at: number, start: string): number | undefined {
  const lineEnd = log.indexOf('\n', at);
  return lineEnd >= 0 && log.startsWith(start, at) ? lineEnd + 1 : undefined;
}

function lastLine(log: string): string {
  return log.slice(log.lastIndexOf('\n', log.length - 2) + 1);
}

function evaluationStart(step: number): string {
  return `{"step":${step},"evaluation":`;
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw runFailure(new Error(`cannot write ${path}: ${messageOf(error)}`, { cause: error }));
  }
}
