/** What went wrong, for programs. */
export type ErrorCode =
  | 'ERR_ARGUMENT'
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_DEVICE'
  | 'ERR_NATIVE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_NON_FINITE'
  | 'ERR_CHECKPOINT'
  | 'ERR_DATA'
  | 'ERR_CANCELLED'
  | 'ERR_DISPOSED';

/**
 * The one error that diffuse throws on purpose. `code` is for programs; `message` names what was wrong and what would be
 * right. Errors of the native addon arrive as this class too, with the JavaScript stack of the caller.
 */
export class DiffuseError extends Error {
  override readonly name = 'DiffuseError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
