import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { repositoryRoot } from './repository.ts';

const run = promisify(execFile);

/** A measured ceiling, or why it is not known. */
export type Ceiling = { readonly value: number } | { readonly missing: string };

/**
 * Peak of float32 multiply-adds in GFLOP/s (one counts two), by the CPU time of the threads alone.
 *
 * @param isa instruction set that it is held to; undefined is the best that the CPU has.
 */
export function measureFmaPeak(threads: number, isa?: string): Promise<Ceiling> {
  // The source takes the widest vectors that it is compiled for.
  return measure('fma-peak.cc', isa === 'avx2' ? ['-mno-avx512f'] : [], threads);
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
