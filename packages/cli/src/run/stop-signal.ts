import { constants } from 'node:os';

/** Tells a command that its user wants it to end. */
export interface StopSignal {
  /** Aborted by the first Ctrl-C (SIGINT) or SIGTERM. */
  readonly signal: AbortSignal;
  /** Stops listening. */
  dispose(): void;
}

/** Called at the first signal. A second one ends the process at once, whatever is under way. */
export function listenForStop(onFirst: () => void): StopSignal {
  const controller = new AbortController();
  const listener = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    controller.abort();
    onFirst();
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return {
    signal: controller.signal,
    dispose() {
      process.off('SIGINT', listener);
      process.off('SIGTERM', listener);
    },
  };
}
