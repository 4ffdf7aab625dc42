import { getSystemErrorMap } from 'node:util';
import { DiffuseError } from '../native/errors.ts';

/** The operating system's words for an error of `node:fs` ('no space left on device'), or the error's own message. */
function reasonOf(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  const words = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return words ?? message ?? String(error);
}

/**
 * Runs a file operation and turns its failure into one `ERR_CHECKPOINT` line: `cannot <action> <path>: <reason>`.
 * The original error stays as `cause`; an error that is a `DiffuseError` already passes unchanged.
 */
export async function fileOperation<T>(action: string, path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (error instanceof DiffuseError) throw error;
    throw new DiffuseError('ERR_CHECKPOINT', `cannot ${action} ${path}: ${reasonOf(error)}`, { cause: error });
  }
}
