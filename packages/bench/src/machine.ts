import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { nativeInfo } from '@diffuse/core';
import { type BenchDevice, isGpu, openBenchDevice } from './ours/bench-device.ts';
import type { Machine } from './result.ts';

/** Vector extensions worth knowing, in the words of /proc/cpuinfo. */
const extensions = ['avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16', 'asimd', 'sve', 'bf16'];

/** Facts about the machine. @param options of the device that is measured. */
export async function describeMachine(options: BenchDevice): Promise<Machine> {
  const processors = cpus();
  using device = await openBenchDevice(options);
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    isa: cpuExtensions(),
    device: device.name,
    threads: device.threads,
    ...(options.isa !== undefined && { heldTo: options.isa }),
    ...(isGpu(options) && { driver: gpuDriver() }),
    ...(device.tf32 && { tf32: true }),
    os: `${type()} ${release()}`,
    node: process.version,
  };
}

/** NVIDIA's driver: its own version where the system tells, and that of CUDA. */
function gpuDriver(): string {
  const { driver, supports } = nativeInfo().cuda;
  return [...(driver === '' ? [] : [driver]), `CUDA ${supports}`].join(', ');
}

function cpuExtensions(): readonly string[] {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
    const flags = new Set(line?.[1]?.split(' ') ?? []);
    return extensions.filter((name) => flags.has(name));
  } catch {
    return []; // not Linux
  }
}
