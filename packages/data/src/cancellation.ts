import { DiffuseError } from '@diffuse/core';

/** Throws `ERR_CANCELLED` when the caller has given up; `doing` completes "cancelled while …". */
export function throwIfCancelled(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted) throw new DiffuseError('ERR_CANCELLED', `cancelled while ${doing}`, { cause: signal.reason });
}
