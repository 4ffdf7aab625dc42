import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { DiffuseError } from '@diffuse/core';

/** A program and what it is started with. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a process to its end; what it says on stderr, its progress, is passed on.
 *
 * @throws `ERR_DEVICE` when it cannot be started or fails.
 */
export function runCommand({ program, args, env = {} }: Command): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
    child.once('error', (error) => reject(new DiffuseError('ERR_DEVICE', `cannot start ${program}: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) return resolve();
      reject(new DiffuseError('ERR_DEVICE', `${program} ${args.join(' ')} ended with code ${code}`));
    });
  });
}

/**
 * Milliseconds from starting a process until `marker` appears on its stdout; waits until the process is gone.
 *
 * @throws `ERR_DEVICE` when it cannot be started, fails, or never says it.
 */
export function timeUntilOutput({ program, args, env = {} }: Command, marker: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let ms: number | undefined;
    let said = '';
    let complaints = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (ms !== undefined) return;
      said += chunk;
      if (said.includes(marker)) ms = performance.now() - begin;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk).slice(-2000);
    });
    child.once('error', (error) => reject(new DiffuseError('ERR_DEVICE', `cannot start ${program}: ${error.message}`)));
    child.once('close', (code) => {
      if (ms !== undefined && code === 0) return resolve(ms);
      const reason = code === 0 ? `it never printed ${marker}` : (complaints.trim().split('\n').at(-1) ?? '');
      reject(new DiffuseError('ERR_DEVICE', `${program} ${args.join(' ')} ended with code ${code}: ${reason}`));
    });
  });
}
