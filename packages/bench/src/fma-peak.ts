import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { repositoryRoot } from './repository.ts';

const run = promisify(execFile);
const source = fileURLToPath(new URL('../native/fma-peak.cc', import.meta.url));

/**
 * Peak of float32 multiply-adds on this machine in GFLOP/s, measured by a small program that is compiled once and kept in the build
 * folder. Undefined with a reason where it cannot be compiled.
 */
export async function measureFmaPeak(threads: number): Promise<{ gflops: number } | { missing: string }> {
  try {
    const { stdout } = await run(await compiledProgram(), [String(threads)]);
    const gflops = Number(stdout);
    return gflops > 0 ? { gflops } : { missing: `fma-peak printed '${stdout.trim()}'` };
  } catch (error) {
    return { missing: `no fraction of peak: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** The name holds what the machine code depends on: the source and the CPU. */
async function compiledProgram(): Promise<string> {
  const key = createHash('sha256')
    .update(readFileSync(source))
    .update(cpus()[0]?.model ?? '')
    .digest('hex')
    .slice(0, 12);
  const folder = join(repositoryRoot, 'build', 'bench');
  const program = join(folder, `fma-peak-${key}`);
  if (existsSync(program)) return program;
  await mkdir(folder, { recursive: true });
  const temporary = `${program}.${process.pid}`;
  const flags = ['-O3', '-march=native', '-std=c++20', '-pthread'];
  await run(process.env.CXX ?? 'c++', [...flags, source, '-o', temporary]);
  await rename(temporary, program);
  return program;
}
