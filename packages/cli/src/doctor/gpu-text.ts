import type { DeviceDescription, KernelCheck, NativeInfo } from '@diffuse/core';
import { bytes } from '../terminal/format.ts';

/** What there is of CUDA: the driver, then every GPU with what keeps it from being used. Rows of two columns. */
export function cudaRows({ cuda }: Pick<NativeInfo, 'cuda'>, gpus: readonly DeviceDescription[]): string[][] {
  return [['cuda', driverText(cuda)], ...gpus.map((gpu) => [gpu.device, gpuText(gpu)])];
}

function driverText({ supports, driver, reason }: NativeInfo['cuda']): string {
  if (supports === '') return `not used: ${reason}`;
  const found = `NVIDIA driver${driver && ` ${driver}`}, supports CUDA ${supports}`;
  return reason === '' ? found : `not used: ${reason} (${found})`;
}

function gpuText({ name, computeCapability, memoryBytes, reason }: DeviceDescription): string {
  const facts = `${name}, compute capability ${computeCapability}, ${bytes(memoryBytes)}`;
  return reason === '' ? `${facts}: can be used` : `${facts}: cannot be used: ${reason}`;
}

/** A row of three columns for each kernel: whether all is well, its name, and its error in each number format. */
export function kernelRows(checks: readonly KernelCheck[]): string[][] {
  const kernels = [...new Set(checks.map(({ kernel }) => kernel))];
  return kernels.map((kernel) => {
    const own = checks.filter((check) => check.kernel === kernel);
    const failed = own.filter(({ ok }) => !ok);
    const details = failed.length > 0 ? failed.map(problemText) : own.map(errorText);
    return [failed.length > 0 ? 'FAILED' : 'ok', kernel, details.join(', ')];
  });
}

const problemText = ({ format, problem }: KernelCheck): string => `${format}: ${problem}`;
const errorText = ({ format, error }: KernelCheck): string => `${format} ${error === 0 ? '0' : error.toExponential(0)}`;
