import { DiffuseError, type ErrorCode } from '@diffuse/core';

/** How a command ended, for the shell. */
export const exitCodes = { done: 0, failed: 1, usage: 2, cancelled: 130 } as const;

/** An error with an exit code of its own. The message is one line for people and names what would be right. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** Wrong usage or bad input: exit code 2. */
export function usageError(message: string, options?: ErrorOptions): Failure {
  return new Failure(exitCodes.usage, message, options);
}

/** The run failed: exit code 1. Keeps the message of its cause. */
export function runFailure(cause: unknown): Failure {
  return new Failure(exitCodes.failed, messageOf(cause), { cause });
}

/** The user stopped the command: exit code 130. */
export function cancelled(message: string): Failure {
  return new Failure(exitCodes.cancelled, message);
}

/** Errors of the library that speak of what the user gave. */
const inputErrors: ReadonlySet<ErrorCode> = new Set(['ERR_ARGUMENT', 'ERR_SHAPE', 'ERR_DATA', 'ERR_CHECKPOINT']);

/** The exit code that an error of any kind deserves. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Failure) return error.exitCode;
  if (!(error instanceof DiffuseError)) return exitCodes.failed;
  if (error.code === 'ERR_CANCELLED') return exitCodes.cancelled;
  return inputErrors.has(error.code) ? exitCodes.usage : exitCodes.failed;
}

/** The code of the library's error behind a failure, for `--json`. */
export function errorCodeOf(error: unknown): string | undefined {
  if (error instanceof DiffuseError) return error.code;
  return error instanceof Error && error.cause !== undefined ? errorCodeOf(error.cause) : undefined;
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
