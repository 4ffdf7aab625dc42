import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended, start } from './run-files.ts';

/** How a run is started again and again. */
export interface KillOptions {
  readonly data: string;
  readonly out: string;
  readonly flags: readonly string[];
  /** Number of processes to kill. */
  readonly kills: number;
  readonly onKill?: (number: number, step: number) => void;
}

/**
 * Starts a training process and kills it (SIGKILL) at a random moment, as often as asked for, resuming each time; then lets it run
 * to its end. A quarter of the kills hit at any time from the start of the process on, the others while it trains.
 *
 * @returns the step of the last checkpoint before each kill.
 * @throws when a process ends with another code than 0.
 */
export async function trainThroughKills({ data, out, flags, kills, onKill }: KillOptions): Promise<number[]> {
  const startMs = 2000;
  const trainingMs = 300;
  const steps: number[] = [];
  const begin = (): ReturnType<typeof start> => {
    const resume = existsSync(join(out, 'config.yaml')) ? ['--resume'] : [];
    return start('train', '--data', data, '--out', out, ...flags, '--json', '--quiet', ...resume);
  };
  for (let kill = 0; kill < kills; kill++) {
    const child = begin();
    const end = ended(child);
    if (kill % 4 === 3) {
      await sleep(Math.random() * startMs);
    } else {
      await Promise.race([firstOutput(child), end]);
      await sleep(Math.random() * trainingMs);
    }
    child.kill('SIGKILL');
    const { code, signal, stderr } = await end;
    if (signal !== 'SIGKILL' && code !== 0) throw new Error(`after ${kill} kills: exit code ${code}: ${stderr}`);
    const step = await checkpointStep(out);
    steps.push(step);
    onKill?.(kill + 1, step);
  }
  const { code, stderr } = await ended(begin());
  if (code !== 0) throw new Error(`the last run: exit code ${code}: ${stderr}`);
  return steps;
}

async function firstOutput(child: ReturnType<typeof start>): Promise<void> {
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (text: string) => {
      if (String(text).includes('"event":"begin"')) resolve();
    });
  });
}

/** Step of the checkpoint in a run; 0 if there is none yet. Read from the header of the file, as any reader would. */
async function checkpointStep(out: string): Promise<number> {
  const path = join(out, 'state.safetensors');
  if (!existsSync(path)) return 0;
  const file = await readFile(path);
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString('utf8')) as {
    __metadata__: { step: string };
  };
  return Number(header.__metadata__.step);
}
