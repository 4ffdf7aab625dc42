import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Addon, expectedAbi } from './bindings.ts';
import { DiffuseError, type ErrorCode } from './errors.ts';
import { kernelSignatures } from './kernels.ts';

const require = createRequire(import.meta.url);
let loaded: { addon: Addon; path: string } | undefined;

/**
 * The native addon. Looked for in this order: the file named by `DIFFUSE_NATIVE`, the build of this checkout, the prebuilt
 * package of the platform. Loaded at first use, so that programs which only read a help text never load it.
 *
 * @throws `ERR_NATIVE` naming each place that was tried and why it failed.
 */
export function loadAddon(): Addon {
  return findOnce().addon;
}

/** Where the addon was loaded from. */
export function addonPath(): string {
  return findOnce().path;
}

function findOnce(): { addon: Addon; path: string } {
  loaded ??= findAddon();
  return loaded;
}

function findAddon(): { addon: Addon; path: string } {
  const given = process.env.DIFFUSE_NATIVE;
  const built = join(dirname(fileURLToPath(import.meta.url)), '../../../../build/Release/diffuse_native.node');
  const places = given ? [given] : [built, `@diffuse/native-${process.platform}-${process.arch}`];
  const tried: string[] = [];
  for (const path of places) {
    if (path === built && !existsSync(path)) {
      tried.push(`${path}: not built (pnpm build:native builds it)`);
      continue;
    }
    try {
      const file = require.resolve(path);
      const addon = require(file) as Addon;
      checkAddon(addon);
      return { addon, path: file };
    } catch (error) {
      tried.push(`${path}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  throw new DiffuseError(
    'ERR_NATIVE',
    `no native addon for ${process.platform}-${process.arch}; tried\n  ${tried.join('\n  ')}`,
  );
}

/** Refuses an addon that was built from other sources than this package. */
function checkAddon(addon: Addon): void {
  if (addon.abi !== expectedAbi) {
    throw new Error(`it has interface ${addon.abi}, this package needs ${expectedAbi}: rebuild it (pnpm build:native)`);
  }
  const expected = Object.entries(kernelSignatures);
  const names = Object.keys(addon.kernels);
  const wrong = expected.find(([name, signature], i) => names[i] !== name || addon.kernels[name] !== signature);
  if (wrong || names.length !== expected.length) {
    throw new Error(`its kernels differ from this package's, first at '${wrong?.[0] ?? names.at(-1)}': rebuild it`);
  }
}

/** Runs `body`; an error with a code that native code threw becomes a {@link DiffuseError}. */
export function translateErrors<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw translate(error);
  }
}

/** As {@link translateErrors}, for promises; the stack is that of the caller who awaits. */
export async function translateRejections<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code !== 'string' || !code.startsWith('ERR_') || error instanceof DiffuseError) return error;
  return new DiffuseError(code as ErrorCode, String(message), { cause: error });
}
