import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { addonPath } from './addon.ts';
import type { CudaImages, CudaReport } from './bindings.ts';

/** Whether anything speaks for a GPU in this machine: a driver, or what one leaves in the system. */
export function expectsGpu({ driver }: CudaReport): boolean {
  if (driver !== '' || process.env.DIFFUSE_CUDA_DRIVER) return true;
  return ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/dev/dxg'].some((path) => existsSync(path));
}

/** The driver's own number, such as `580.65.06`; empty where the system does not tell. */
export function driverBuild(): string {
  try {
    return /Kernel Module[^\d]*([\d.]+)/.exec(readFileSync('/proc/driver/nvidia/version', 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
}

/** Changes whenever the kernels or the addon have been built anew. */
export function kernelsFingerprint({ folder }: CudaImages): string {
  const images = readdirSync(folder).filter((name) => /\.(fatbin|ptx)$/.test(name));
  const stamps = [addonPath(), ...images.sort().map((name) => join(folder, name))].map((file) => {
    const { size, mtimeMs } = statSync(file);
    return [file, size, mtimeMs];
  });
  return createHash('sha256').update(JSON.stringify(stamps)).digest('hex');
}
