import { createRequire } from 'node:module';
import { availableParallelism, cpus, homedir } from 'node:os';
import { join } from 'node:path';
import { type Device, openDevice } from '@diffuse/core';
import { messageOf } from '../failure.ts';

/** What the machine and the installation have. A field that could not be found out holds the reason instead. */
export interface Environment {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  /** The file of the native addon, or why there is none. */
  readonly addon: { readonly path: string } | { readonly error: string };
  /** Instruction sets that the addon can use here, best first; the first is used. */
  readonly instructionSets: readonly string[];
  /** The device that `--device auto` opens. */
  readonly device: { readonly name: string; readonly threads: number } | undefined;
  /** The library that reads and writes images, and the one below it. */
  readonly images: { readonly sharp: string; readonly libvips: string } | { readonly error: string };
  readonly cacheDirectory: string;
}

/** All instruction sets that a build of the CPU backend may contain, best first. */
const knownInstructionSets = ['avx512', 'avx2', 'neon', 'portable'];

/** Looks around; nothing here throws. */
export async function readEnvironment(): Promise<Environment> {
  const device = await openDevice('auto').catch((error: unknown) => ({ error: messageOf(error) }));
  const images = await imageLibraries();
  const opened = 'error' in device ? undefined : device;
  const addonPath = loadedLibrary(/diffuse_native|@diffuse\/native/);
  const environment: Environment = {
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    addon: 'error' in device ? device : { path: addonPath ?? 'loaded, its path is unknown' },
    instructionSets: opened ? await usableInstructionSets() : [],
    device: opened && { name: opened.name, threads: opened.threads },
    images,
    cacheDirectory:
      process.env.DIFFUSE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'diffuse'),
  };
  opened?.dispose();
  return environment;
}

/** Those that a device opens with: built in, and known to this CPU. */
async function usableInstructionSets(): Promise<readonly string[]> {
  const usable: string[] = [];
  for (const isa of knownInstructionSets) {
    const device: Device | undefined = await openDevice('cpu', { isa, threads: 1 }).catch(() => undefined);
    if (device) usable.push(isa);
    device?.dispose();
  }
  return usable;
}

async function imageLibraries(): Promise<Environment['images']> {
  try {
    await import('@diffuse/data');
    // The library belongs to the data package; only its version is asked for here.
    const { versions } = createRequire(import.meta.resolve('@diffuse/data'))('sharp') as {
      versions: { sharp: string; vips: string };
    };
    return { sharp: versions.sharp, libvips: versions.vips };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** The path of a library that this process has loaded. */
function loadedLibrary(name: RegExp): string | undefined {
  const { sharedObjects } = process.report.getReport() as { sharedObjects: readonly string[] };
  return sharedObjects.find((path) => name.test(path));
}
