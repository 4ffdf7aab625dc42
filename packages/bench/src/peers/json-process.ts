import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { DiffuseError } from '@diffuse/core';
import type { Command } from './command.ts';
import type { PreparedWork } from './peer.ts';

/** A process that answers one line of JSON with one line of JSON. */
export interface JsonProcess {
  readonly pid: number;
  /** @throws `ERR_DEVICE` when the process answers with an error or is gone. */
  ask(request: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>>;
  /** Ends the process and waits until it is gone. */
  close(): Promise<void>;
}

/** Starts a process that speaks JSON lines. @throws `ERR_DEVICE` when it cannot be started. */
export async function startJsonProcess({ program, args, env = {} }: Command): Promise<JsonProcess> {
  const child = spawn(program, args, { env: { ...process.env, ...env } });
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  // Its complaints are kept for the case that it ends.
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk).slice(-2000);
  });
  child.stdin.on('error', () => undefined); // `gone` tells it
  await Promise.race([new Promise((resolve) => child.once('spawn', resolve)), gone]);
  if (child.pid === undefined) throw new DiffuseError('ERR_DEVICE', `cannot start ${program}: ${await gone}`);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid,
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) {
        const last = complaints.trim().split('\n').at(-1);
        throw new DiffuseError('ERR_DEVICE', `${program}: ${await gone}${last ? `: ${last}` : ''}`);
      }
      return parseAnswer(program, value);
    },
    close: () => end(child, gone),
  };
}

/** Prepares work in such a process, which is then asked to `run` and to `release` it. @param request of the command `prepare`. */
export async function prepareIn(
  process: JsonProcess,
  request: Readonly<Record<string, unknown>>,
  variant: string,
): Promise<PreparedWork> {
  await process.ask({ command: 'prepare', ...request });
  return {
    pid: process.pid,
    variant,
    run: async () => Number((await process.ask({ command: 'run' })).ms),
    release: async () => void (await process.ask({ command: 'release' })),
  };
}

function parseAnswer(program: string, line: string): Record<string, unknown> {
  let answer: unknown;
  try {
    answer = JSON.parse(line);
  } catch {
    throw new DiffuseError('ERR_DEVICE', `${program} answered '${line.slice(0, 80)}', which is not JSON`);
  }
  const fields = answer as Record<string, unknown>;
  if (typeof fields.error === 'string') throw new DiffuseError('ERR_DEVICE', `${program}: ${fields.error}`);
  return fields;
}

async function end(child: ChildProcessWithoutNullStreams, gone: Promise<string>): Promise<void> {
  child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(timer);
}
