// Builds what tests of the CUDA backend run on where there is no GPU: the simulator of a driver, and the kernels as PTX.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildPtx, findCompiler, imageFolder, ptxFolder } from './cuda.mjs';
import { filesIn, has, root, run } from './project.mjs';

const folder = 'build/cuda/simulator';

/**
 * Three GPUs, which are three schedules too: every simulated device takes blocks and warps in an order of its own. One multiprocessor alone
 * is full at once, so that kernels cut small problems as they would cut large ones.
 */
const devices = 'a100,rtx4090@1,h100';
/** What the simulator finds in the processes of this one: races, leaks, reads of what nobody wrote. */
export const findingsFile = join(root, folder, `findings-${process.pid}.jsonl`);
const resources = join(imageFolder, 'resources.json');

/**
 * Builds, as far as anything has changed.
 *
 * @param tests also the simulator's own test programs
 * @param sanitizer builds the simulator itself with one, `address` or `thread`, in a folder of its own
 * @returns `{ environment }`: the variables by which the addon finds simulator and kernels; or `{ missing }`: why there is none
 * @throws when compiling fails
 */
export async function buildSimulator({ tests = false, sanitizer = '' } = {}) {
  const compiler = findCompiler();
  if (compiler.missing) return { missing: compiler.missing };
  if (!has('cmake')) return { missing: 'cmake was not found' };
  const driver = buildDriver(tests ? [] : ['--target', 'cuda_driver_simulator'], sanitizer);
  await buildPtx(compiler);
  const environment = {
    DIFFUSE_CUDA_DRIVER: driver,
    DIFFUSE_CUDA_IMAGES: ptxFolder,
    CUDA_SIMULATOR_DEVICES: devices,
    CUDA_SIMULATOR_REPORT: findingsFile,
    // Registers as the assembler gives them, where `pnpm check:cuda` has told them; else the simulator reckons.
    ...(existsSync(resources) && { CUDA_SIMULATOR_RESOURCES: resources }),
  };
  rmSync(findingsFile, { force: true });
  return { environment };
}

/** Builds the program that runs witnesses, cuda/simulator/witnesses; the driver beside it is up to date then. Returns its path. */
export function buildWitnesses() {
  buildDriver(['--target', 'simulator_witnesses']);
  return join(root, folder, 'witnesses/simulator_witnesses');
}

/** The findings so far, one a line; they are forgotten. */
export function takeFindings() {
  if (!existsSync(findingsFile)) return [];
  const lines = readFileSync(findingsFile, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  rmSync(findingsFile);
  return lines;
}

function buildDriver(target, sanitizer = '') {
  const into = sanitizer ? `${folder}-${sanitizer}` : folder;
  const settings = ['-DCMAKE_BUILD_TYPE=Release', `-DSIMULATOR_SANITIZE=${sanitizer}`];
  const generator = has('ninja') ? ['-G', 'Ninja'] : [];
  buildWith('cmake', ['-S', 'cuda/simulator', '-B', into, ...settings, ...generator]);
  buildWith('cmake', ['--build', into, ...target, '--parallel', String(availableParallelism())]);
  const [driver] = filesIn(into, /^libcuda\.so\.1$/);
  if (driver === undefined) throw new Error(`building cuda/simulator left no libcuda.so.1 in ${into}`);
  return join(root, driver);
}

/** The simulator's own test programs that exist. */
export const simulatorTests = () =>
  filesIn(folder, /_tests$/)
    .map((path) => join(root, path))
    .filter((path) => existsSync(path));

function buildWith(command, args) {
  const { status, output } = run(command, args);
  if (status !== 0) throw new Error(`${output}\nbuilding the CUDA simulator failed: ${command} ${args.join(' ')}`);
}
