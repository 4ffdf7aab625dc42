import type { Command } from './command.ts';
import type { Environment } from './environments.ts';
import { type JsonProcess, startJsonProcess } from './json-process.ts';

/** A process that has said hello. */
export interface Worker {
  readonly process: JsonProcess;
  readonly hello: Readonly<Record<string, unknown>>;
}

/** Processes of a peer, one an environment, started when they are first needed. */
export interface WorkerPool {
  get(name: string, environment: Environment): Promise<Worker>;
  /** A process that nothing has run in; its owner closes it. */
  fresh(environment: Environment): Promise<Worker>;
  close(): Promise<void>;
}

/** @param greeting what every process is told first, beside the command `hello`. */
export function workerPool(command: Command, greeting: Readonly<Record<string, unknown>>): WorkerPool {
  const workers = new Map<string, Worker>();
  const fresh = async (environment: Environment): Promise<Worker> => {
    const process = await startJsonProcess({ ...command, env: { ...command.env, ...environment } });
    try {
      return { process, hello: await process.ask({ command: 'hello', ...greeting }) };
    } catch (error) {
      await process.close();
      throw error;
    }
  };
  return {
    fresh,
    async get(name, environment) {
      const worker = workers.get(name) ?? (await fresh(environment));
      workers.set(name, worker);
      return worker;
    },
    async close() {
      await Promise.all([...workers.values()].map((worker) => worker.process.close()));
      workers.clear();
    },
  };
}
