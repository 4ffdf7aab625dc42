import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { openDevice } from '@diffuse/core';
import type { Machine } from './result.ts';

/** Vector extensions worth knowing, in the words of /proc/cpuinfo. */
const extensions = ['avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16', 'asimd', 'sve', 'bf16'];

/** Facts about the machine. */
export async function describeMachine(threads: number): Promise<Machine> {
  const processors = cpus();
  using device = await openDevice('cpu', { threads });
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    isa: cpuExtensions(),
    device: device.name,
    threads,
    os: `${type()} ${release()}`,
    node: process.version,
  };
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
