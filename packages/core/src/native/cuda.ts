import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addonPath, loadAddon } from './addon.ts';
import type { CudaReport } from './bindings.ts';

/** What the NVIDIA driver shows; `reason` tells why no GPU can be used, be it that the kernels were not compiled. */
export function cudaStatus(): CudaReport {
  const report = loadAddon().cudaDevices();
  if (report.reason !== '' || imageFiles().length > 0) return report;
  const reason = `the CUDA kernels have not been compiled: ${imageFolder()} holds none (pnpm build:cuda makes them, with nvcc)`;
  return { ...report, reason };
}

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
export function kernelsFingerprint(): string {
  const stamps = [addonPath(), ...imageFiles()].map((file) => {
    const { size, mtimeMs } = statSync(file);
    return [file, size, mtimeMs];
  });
  return createHash('sha256').update(JSON.stringify(stamps)).digest('hex');
}

/** Where the addon looks for compiled kernels. */
function imageFolder(): string {
  return process.env.DIFFUSE_CUDA_IMAGES || join(dirname(addonPath()), 'cuda');
}

function imageFiles(): string[] {
  const folder = imageFolder();
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => /\.(fatbin|ptx)$/.test(name));
  return names.sort().map((name) => join(folder, name));
}
