import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import {
  type DeviceDescription,
  listDevices,
  type NativeInfo,
  nativeInfo,
  openDevice,
  type Precision,
  precisions,
} from '@diffuse/core';
import { messageOf } from '../failure.ts';

/** What the machine and the installation have. A field that could not be found out holds the reason instead. */
export interface Environment {
  readonly node: string;
  /** Of Node's names, and the system with its version. */
  readonly platform: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  /** The native addon: its file, interface and instruction sets, the best first; or why there is none. */
  readonly addon: NativeInfo | { readonly error: string };
  /** The NVIDIA GPUs that the driver shows, with what keeps each from being used. */
  readonly gpus: readonly DeviceDescription[];
  /** The device that `--device auto` opens, and why it is not another one. */
  readonly device:
    | { readonly name: string; readonly threads: number; readonly warnings: readonly string[] }
    | undefined;
  /** What `--precision` takes, and whether this CPU multiplies bf16; one that does not widens them to float32 first. */
  readonly numberFormats: { readonly names: readonly Precision[]; readonly bf16Products: boolean };
  /** The library that reads and writes images, and the one below it. */
  readonly images: { readonly sharp: string; readonly libvips: string } | { readonly error: string };
  readonly cacheDirectory: string;
}

/** Looks around; nothing here throws. */
export async function readEnvironment(): Promise<Environment> {
  const addon = attempt(nativeInfo);
  const { device, images, cacheDirectory } = await look();
  return {
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}, ${systemName()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    addon,
    gpus: 'error' in addon ? [] : listDevices().filter(({ device: name }) => name !== 'cpu'),
    device,
    numberFormats: {
      names: Object.keys(precisions) as Precision[],
      bf16Products: 'isas' in addon && addon.isas.includes('amx'),
    },
    images,
    cacheDirectory,
  };
}

/** The distribution of Linux, if it tells, and the version of the kernel. */
function systemName(): string {
  try {
    const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
    return `${name ?? ''} ${release()}`.trim();
  } catch {
    return release();
  }
}

async function look(): Promise<Pick<Environment, 'device' | 'images' | 'cacheDirectory'>> {
  const warnings: string[] = [];
  const onWarning = (message: string): void => {
    warnings.push(message);
  };
  const device = await openDevice('auto', { onWarning }).catch(() => undefined);
  const opened = device && { name: device.name, threads: device.threads, warnings };
  device?.dispose();
  try {
    const { imageLibraries, resolveCacheDirectory } = await import('@diffuse/data');
    return { device: opened, images: imageLibraries(), cacheDirectory: resolveCacheDirectory(undefined) };
  } catch (error) {
    return { device: opened, images: { error: messageOf(error) }, cacheDirectory: 'unknown' };
  }
}

function attempt<T>(body: () => T): T | { readonly error: string } {
  try {
    return body();
  } catch (error) {
    return { error: messageOf(error) };
  }
}
