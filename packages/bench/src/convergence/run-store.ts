import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One training run that was done to its end. */
export interface TrainedRun {
  /** `Mode.key`. */
  readonly mode: string;
  readonly seed: number;
  /** The device that computed, as the library calls it. */
  readonly device: string;
  readonly ms: number;
  /** Arena, scratch and all buffers. */
  readonly peakBytes: number;
  /** Of every step. */
  readonly loss: readonly number[];
}

/** Runs as files of a folder, so that a benchmark that was interrupted goes on with those that are missing. */
export class RunStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A run that was kept; undefined where there is none. @param mode `Mode.key` */
  async find(mode: string, seed: number): Promise<TrainedRun | undefined> {
    const text = await readFile(this.#path(mode, seed), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as TrainedRun);
  }

  /** Keeps a run. The file is whole or not there. */
  async keep(run: TrainedRun): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const path = this.#path(run.mode, run.seed);
    await writeFile(`${path}.tmp`, JSON.stringify(run));
    await rename(`${path}.tmp`, path);
  }

  /** Forgets all runs. */
  async clear(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  #path(mode: string, seed: number): string {
    return join(this.#folder, `${mode}-${seed}.json`);
  }
}
