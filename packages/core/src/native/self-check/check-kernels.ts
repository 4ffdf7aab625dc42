import type { NativeDevice } from '../bindings.ts';
import type { DiffuseError } from '../errors.ts';
import type { KernelName } from '../kernels.ts';
import { hasImages, type KernelCall, kernelCalls } from './kernel-calls.ts';
import { type LastingDevice, lastingDevice } from './lasting-device.ts';
import { type CallOutputs, runCall } from './run-call.ts';

/**
 * What came of a kernel's calls: they `agree` with the CPU's, one of them `differs`, one `failed` (the kernel could not be launched or did
 * something forbidden), or they were `unchecked`: there was no memory for them, or the device could not be opened again after another kernel
 * had failed.
 */
export type KernelOutcome = 'agree' | 'differs' | 'failed' | 'unchecked';

/** How one kernel's calls went in one number format. */
export interface KernelCheck {
  readonly kernel: string;
  /** Of its images, or `tf32` where float32 is multiplied as that; `f32` for kernels without images. */
  readonly format: 'f32' | 'bf16' | 'tf32';
  /** Whether they agree. */
  readonly ok: boolean;
  readonly outcome: KernelOutcome;
  /** Largest difference from the CPU over the largest number, of the output that is worst against its tolerance; NaN if there is none. */
  readonly error: number;
  readonly tolerance: number;
  /** What went wrong; empty if nothing did. */
  readonly problem: string;
}

/** Kernels that multiply: with tf32 they round what they multiply to 11 bits, and of bf16 images to 8. */
const products = /^(conv2d|linear|attention)_/;
/** Numbers that have the same bits on every device. */
const exact = /^random_/;

/**
 * Runs small calls of every kernel on a device and on the CPU, in every number format, and compares what they write. A kernel that fails
 * takes its device with it: that is opened anew for the kernels that follow.
 *
 * @param open opens the device that is checked, which multiplies float32 as tf32 or does not.
 * @param reference opens the CPU.
 * @throws what `open` throws at first.
 */
export async function checkKernels(
  open: (options: { readonly tf32: boolean }) => Promise<NativeDevice>,
  reference: () => NativeDevice,
): Promise<readonly KernelCheck[]> {
  const cpu = reference();
  const checks: KernelCheck[] = [];
  try {
    for (const tf32 of [false, true]) {
      const device = lastingDevice(() => open({ tf32 }));
      try {
        // What cannot be opened at all has no kernels to tell of.
        if (!tf32) await device.get();
        for (const [kernel, calls] of byKernel()) {
          for (const format of formatsOf(kernel, tf32)) {
            checks.push(await checkKernel(kernel, calls, { device, cpu, format }));
          }
        }
      } finally {
        device.dispose();
      }
    }
  } finally {
    cpu.dispose();
  }
  return checks;
}

/** The formats in which a kernel's calls are made on a device that multiplies float32 as tf32 or does not. */
function formatsOf(kernel: KernelName, tf32: boolean): KernelCheck['format'][] {
  if (tf32) return products.test(kernel) ? ['tf32'] : [];
  return hasImages(kernel) ? ['f32', 'bf16'] : ['f32'];
}

function byKernel(): Map<KernelName, KernelCall[]> {
  const kernels = new Map<KernelName, KernelCall[]>();
  for (const call of kernelCalls()) {
    const calls = kernels.get(call.kernel) ?? [];
    calls.push(call);
    kernels.set(call.kernel, calls);
  }
  return kernels;
}

interface Pair {
  readonly device: LastingDevice;
  readonly cpu: NativeDevice;
  readonly format: KernelCheck['format'];
}

async function checkKernel(kernel: string, calls: readonly KernelCall[], pair: Pair): Promise<KernelCheck> {
  const { cpu, format } = pair;
  const nothing = { kernel, format, ok: false, error: Number.NaN, tolerance: 0 };
  const images = format === 'bf16' ? 'bf16' : 'f32';
  let device: NativeDevice;
  try {
    device = await pair.device.get();
  } catch (error) {
    return { ...nothing, outcome: 'unchecked', problem: (error as Error).message };
  }
  let worst: Difference | undefined;
  try {
    for (const call of calls) {
      const [actual, expected] = await Promise.all([runCall(device, call, images), runCall(cpu, call, images)]);
      for (const difference of differences(kernel, format, actual, expected)) {
        if (!worst || !(excess(difference) <= excess(worst))) worst = difference;
      }
    }
  } catch (error) {
    const { code, message } = error as DiffuseError;
    return { ...nothing, outcome: code === 'ERR_OUT_OF_MEMORY' ? 'unchecked' : 'failed', problem: message };
  }
  const { name = '', error = Number.NaN, tolerance = 0 } = worst ?? {};
  if (error <= tolerance) return { kernel, format, ok: true, outcome: 'agree', error, tolerance, problem: '' };
  const problem = `'${name}' differs by ${error.toExponential(1)}, ${tolerance.toExponential(1)} is allowed`;
  return { kernel, format, ok: false, outcome: 'differs', error, tolerance, problem };
}

interface Difference {
  readonly name: string;
  readonly error: number;
  readonly tolerance: number;
}

/** How much of its tolerance a difference takes; more than 1 is too much. */
function excess({ error, tolerance }: Difference): number {
  return error === 0 ? 0 : error / tolerance;
}

function differences(
  kernel: string,
  format: KernelCheck['format'],
  actual: CallOutputs,
  expected: CallOutputs,
): Difference[] {
  return Object.entries(expected).map(([name, { values, rounded }]) => {
    const others = actual[name]?.values;
    let [largest, difference] = [1e-3, 0];
    values.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value));
      // Of a NaN the difference is NaN, and stays it.
      difference = Math.max(difference, Math.abs(value - (others?.[i] ?? Number.NaN)));
    });
    return { name, error: difference / largest, tolerance: tolerance(kernel, format, rounded) };
  });
}

/** What orders of summation and roundings may make of a number, relative to the largest one. */
function tolerance(kernel: string, format: KernelCheck['format'], rounded: boolean): number {
  if (exact.test(kernel)) return 0;
  if (products.test(kernel) && format === 'bf16') return 2 ** -6;
  if (products.test(kernel) && format === 'tf32') return 2 ** -8;
  return rounded ? 2 ** -7 : 1e-4;
}
