import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon, translateErrors } from './addon.ts';
import type { CudaReport, CudaReportDevice, NativeDevice } from './bindings.ts';
import { driverBuild, expectsGpu, kernelsFingerprint } from './cuda.ts';
import { DiffuseError } from './errors.ts';
import { checkKernels, type KernelCheck } from './self-check/check-kernels.ts';
import { hasPassed, rememberPass } from './self-check/verdict.ts';
import { packageVersion } from './version.ts';

/** A device as {@link openDevice} and `--device` name it: `cuda` is the first GPU, `cuda:1` the second. */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}`;

/** How `openDevice` opens what the addon has. */
export interface OpenNativeOptions {
  readonly threads: number;
  readonly isa: string;
  readonly direct: boolean;
  readonly tf32: boolean;
  readonly selfCheck: boolean;
  readonly warn: (message: string) => void;
}

/** The number of the GPU that a name means; undefined for other names. */
export function gpuOrdinal(name: string): number | undefined {
  const found = /^cuda(?::(0|[1-9]\d{0,2}))?$/.exec(name);
  return found ? Number(found[1] ?? 0) : undefined;
}

/** Opens the CPU. @throws `ERR_NATIVE`, `ERR_DEVICE` */
export function openCpu({ threads, isa, direct }: Pick<OpenNativeOptions, 'threads' | 'isa' | 'direct'>): NativeDevice {
  const addon = loadAddon();
  return translateErrors(() => addon.openDevice({ kind: 'cpu', threads, isa, direct }));
}

/**
 * Opens a GPU whose kernels have been checked, now or before.
 *
 * @throws `ERR_DEVICE` when there is none of that number, when it cannot be used or when its kernels compute something wrong.
 */
export async function openGpu(ordinal: number, options: OpenNativeOptions): Promise<NativeDevice> {
  const status = loadAddon().cudaDevices();
  const gpu = usableGpu(status, ordinal);
  if (options.selfCheck) await requireCheck(gpu, status);
  return openUnchecked(gpu, options.tf32);
}

/**
 * The first GPU that can be used, else the CPU; says why a GPU that there is, or a driver, is passed over. Of a GPU that this build never
 * could use, such as an old one for the screen, nothing is said where another one serves.
 */
export async function openBest(options: OpenNativeOptions): Promise<NativeDevice> {
  if (options.isa !== '') return openCpu(options);
  const status = loadAddon().cudaDevices();
  if (status.reason !== '') {
    if (expectsGpu(status)) options.warn(`computing on the CPU: ${status.reason}`);
    return openCpu(options);
  }
  const unsuitable: string[] = [];
  const failed: string[] = [];
  for (const { ordinal, reason } of status.devices) {
    try {
      const gpu = await openGpu(ordinal, options);
      if (failed.length > 0) options.warn(`computing on ${gpu.name}: ${failed.join('; ')}`);
      return gpu;
    } catch (error) {
      (reason === '' ? failed : unsuitable).push((error as Error).message);
    }
  }
  options.warn(`computing on the CPU: ${[...failed, ...unsuitable].join('; ')}`);
  return openCpu(options);
}

/**
 * Runs the self-check of a GPU, whatever was found before.
 *
 * @param name `cuda`, `cuda:1` …
 * @throws `ERR_DEVICE` when there is none of that name or it cannot be used at all.
 */
export async function checkGpu(name: string): Promise<readonly KernelCheck[]> {
  const ordinal = gpuOrdinal(name);
  if (ordinal === undefined) throw new DiffuseError('ERR_DEVICE', `'${name}' is no GPU; cuda:0 is the first`);
  const status = loadAddon().cudaDevices();
  return check(usableGpu(status, ordinal), status);
}

async function check(gpu: CudaReportDevice, status: CudaReport): Promise<readonly KernelCheck[]> {
  const checks = await checkKernels(
    ({ tf32 }) => openUnchecked(gpu, tf32),
    () => openCpu({ threads: 1, isa: 'portable', direct: true }),
  );
  if (checks.every(({ ok }) => ok)) rememberPass(verdictKey(gpu, status));
  return checks;
}

function usableGpu({ reason, devices }: CudaReport, ordinal: number): CudaReportDevice {
  const gpu = devices.find((each) => each.ordinal === ordinal);
  if (reason !== '') throw new DiffuseError('ERR_DEVICE', `cuda:${ordinal} cannot be used: ${reason}`);
  if (!gpu) {
    const names = devices.map((each) => `cuda:${each.ordinal} (${each.name})`).join(', ');
    throw new DiffuseError('ERR_DEVICE', `there is no device 'cuda:${ordinal}'; available: cpu, ${names}`);
  }
  if (gpu.reason !== '') throw new DiffuseError('ERR_DEVICE', `cuda:${ordinal} cannot be used: ${gpu.reason}`);
  return gpu;
}

/** The GPUs that have been open in this process. */
const openBefore = new Set<number>();
/** How long a GPU that was open before is tried, and how often. */
const patienceMs = 3000;
const pauseMs = 20;

/**
 * Opens a GPU as it is. The devices of a GPU share one context, which an error may break; it ends with the last of them, a moment after that
 * was disposed. Hence the patience.
 */
async function openUnchecked({ ordinal, name }: CudaReportDevice, tf32: boolean): Promise<NativeDevice> {
  const addon = loadAddon();
  const begin = performance.now();
  for (;;) {
    try {
      const device = translateErrors(() => addon.openDevice({ kind: 'cuda', ordinal, tf32 }));
      openBefore.add(ordinal);
      return device;
    } catch (error) {
      const { code, message } = error as DiffuseError;
      const before = code === 'ERR_DEVICE' && openBefore.has(ordinal);
      if (before && performance.now() - begin < patienceMs) {
        await sleep(pauseMs);
        continue;
      }
      const advice = before ? '; devices of it that an error has closed must be disposed first' : '';
      const problem = `cuda:${ordinal} (${name}) cannot be opened: ${message}${advice}`;
      throw new DiffuseError(code, problem, { cause: error });
    }
  }
}

function verdictKey({ name }: CudaReportDevice, { driver, images }: CudaReport): string[] {
  return [name, driver, driverBuild(), packageVersion(), kernelsFingerprint(images)];
}

/** Kernels that a refusal names; `doctor --check` names all of them. */
const namedKernels = 3;

async function requireCheck(gpu: CudaReportDevice, status: CudaReport): Promise<void> {
  if (hasPassed(verdictKey(gpu, status))) return;
  const checks = await check(gpu, status);
  const failed = checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'differs');
  if (failed.length === 0) {
    const unchecked = checks.find(({ ok }) => !ok);
    if (!unchecked) return;
    const problem = `the check of the kernels of cuda:${gpu.ordinal} (${gpu.name}) cannot be made, so it is not used`;
    throw new DiffuseError('ERR_DEVICE', `${problem}: ${unchecked.problem}`);
  }
  const named = failed.slice(0, namedKernels).map(({ kernel, format, problem }) => `${kernel} (${format}): ${problem}`);
  if (failed.length > named.length) named.push('…');
  throw new DiffuseError(
    'ERR_DEVICE',
    `cuda:${gpu.ordinal} (${gpu.name}) does not compute what the CPU does in ${failed.length} of ${checks.length} checks and is not used; diffuse doctor --check tells more. ${named.join('; ')}`,
  );
}
