import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, usageError } from '../failure.ts';

/** The files of a run that the command line writes; the checkpoint's own are those of `saveRun`. */
export interface RunFolder {
  readonly path: string;
  readonly config: string;
  readonly metrics: string;
  readonly previews: string;
}

const networkNames = ['unet', 'model', 'vae'].flatMap((name) => [name, `${name}_ema`]);
const earlyNames = ['config.json', 'classifier.safetensors', 'classifier_ema.safetensors'];
const checkpointNames = ['state.safetensors', 'model_index.json', 'scheduler', ...networkNames, ...earlyNames];
const runNames: ReadonlySet<string> = new Set(['config.yaml', 'metrics.jsonl', 'previews', ...checkpointNames]);

/** The paths of a run. */
export function runFolder(path: string): RunFolder {
  return {
    path,
    config: join(path, 'config.yaml'),
    metrics: join(path, 'metrics.jsonl'),
    previews: join(path, 'previews'),
  };
}

/**
 * Refuses a folder that holds a run, or a model, already: training never replaces what it did not make.
 *
 * @throws Failure saying what is there and what to do.
 */
export async function checkFreshFolder(path: string): Promise<void> {
  const found = (await namesIn(path)).filter((name) => runNames.has(name));
  if (found.includes('config.yaml')) {
    throw usageError(`--out ${path} holds a run already; go on with it by --resume, or give another folder`);
  }
  if (found.length > 0) {
    throw usageError(`--out ${path} holds ${found.join(', ')} already, which a run would replace; give another folder`);
  }
}

/**
 * Finds the run to resume.
 *
 * @returns whether it has a checkpoint; a run that was killed before its first one has none.
 * @throws Failure when there is no run.
 */
export async function findRun(path: string): Promise<{ hasCheckpoint: boolean }> {
  const names = await namesIn(path);
  if (!names.includes('config.yaml')) {
    throw usageError(`--resume: there is no run in ${path} (it has no config.yaml); leave --resume out to begin one`);
  }
  return { hasCheckpoint: names.includes('state.safetensors') };
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw usageError(`--out ${path} must be a folder, or a path where one can be made: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
