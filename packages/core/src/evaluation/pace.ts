import { setImmediate } from 'node:timers/promises';
import { DiffuseError } from '../native/errors.ts';

/** Milliseconds of computing between two turns of the event loop. */
const TURN_MS = 8;

/** Options of everything that computes for long. */
export interface PaceOptions {
  /** Gives up with `ERR_CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
}

/** To be awaited often by a long computation: lets the event loop have its turn when one is due. @throws `ERR_CANCELLED` */
export type Pace = () => Promise<void> | undefined;

/**
 * Makes the pace of one computation.
 *
 * @param doing completes "cancelled while …".
 */
export function keepPace(signal: AbortSignal | undefined, doing: string): Pace {
  let last = performance.now();
  const check = (): void => {
    if (signal?.aborted) throw new DiffuseError('ERR_CANCELLED', `cancelled while ${doing}`, { cause: signal.reason });
  };
  const turn = async (): Promise<void> => {
    await setImmediate();
    check();
    last = performance.now();
  };
  check();
  return () => (performance.now() - last < TURN_MS ? undefined : turn());
}
