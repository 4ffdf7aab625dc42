import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Precision } from './precision.ts';
import { repositoryRoot } from './repository.ts';

const run = promisify(execFile);

/** A measured ceiling, or why it is not known. */
export type Ceiling = { readonly value: number } | { readonly missing: string };

/** What {@link measurePeak} measures. */
export interface PeakOptions {
  readonly threads: number;
  /** Number format of the products; sums are float32 in each. Default `fp32`. */
  readonly precision?: Precision | undefined;
  /** Instruction set that it is held to; undefined is the best that the CPU has. */
  readonly isa?: string | undefined;
}

/** Peak of multiply-adds in GFLOP/s (one counts two), by the CPU time of the threads alone. */
export async function measurePeak({ threads, precision = 'fp32', isa }: PeakOptions): Promise<Ceiling> {
  // The source takes the widest vectors, or the matrix unit, that it is compiled for.
  const held = isa === 'avx2' ? ['-mno-avx512f', '-mno-amx-tile'] : [];
  const float32 = await measure('product-peak.cc', held, threads);
  if (precision === 'fp32' || 'missing' in float32) return float32;
  // There are CPUs that multiply float32 faster than bf16, which can be widened.
  const bf16 = await measure('product-peak.cc', [...held, '-DDIFFUSE_BF16'], threads);
  return 'value' in bf16 && bf16.value > float32.value ? bf16 : float32;
}

/** Bytes read and written in GB/s where the data are far larger than the caches. Neighbours take their share of it. */
export function measureBandwidth(threads: number): Promise<Ceiling> {
  return measure('memory-bandwidth.cc', [], threads);
}

/** Runs a small program that is compiled once and kept in the build folder. */
async function measure(source: string, flags: readonly string[], threads: number): Promise<Ceiling> {
  try {
    const { stdout } = await run(await compiledProgram(source, flags), [String(threads)]);
    const value = Number(stdout);
    return value > 0 ? { value } : { missing: `${source} printed '${stdout.trim()}'` };
  } catch (error) {
    return { missing: `a ceiling is not known: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** The name holds what the machine code depends on: the source, the flags and the CPU. */
async function compiledProgram(name: string, more: readonly string[]): Promise<string> {
  const source = fileURLToPath(new URL(`../native/${name}`, import.meta.url));
  const flags = ['-O3', '-march=native', ...more, '-std=c++20', '-pthread'];
  const key = createHash('sha256')
    .update(readFileSync(source))
    .update(flags.join(' '))
    .update(cpus()[0]?.model ?? '')
    .digest('hex')
    .slice(0, 12);
  const folder = join(repositoryRoot, 'build', 'bench');
  const program = join(folder, `${basename(name, '.cc')}-${key}`);
  if (existsSync(program)) return program;
  await mkdir(folder, { recursive: true });
  const temporary = `${program}.${process.pid}`;
  await run(process.env.CXX ?? 'c++', [...flags, source, '-o', temporary]);
  await rename(temporary, program);
  return program;
}
