import { dirname } from 'node:path';
import type { DeviceDescription, KernelCheck, KernelOutcome, NativeInfo } from '@diffuse/core';
import { bytes, columns } from '../terminal/format.ts';

/** What there is of CUDA: the driver, the kernels, then every GPU with what keeps it from being used. Rows of two columns. */
export function cudaRows(
  { cuda, path }: Pick<NativeInfo, 'cuda' | 'path'>,
  gpus: readonly DeviceDescription[],
): string[][] {
  return [
    ['cuda', driverText(cuda)],
    ['kernels', kernelsText(cuda, path)],
    ...gpus.map((gpu) => [gpu.device, gpuText(gpu, cuda)]),
  ];
}

function driverText({ supports, driver, reason }: NativeInfo['cuda']): string {
  if (supports === '') return `not used: ${reason}`;
  const found = `NVIDIA driver${driver && ` ${driver}`}, supports CUDA ${supports}`;
  return reason === '' ? found : `${found}; not used: ${reason}`;
}

type Images = NativeInfo['cuda']['images'];

function kernelsText({ build, images }: NativeInfo['cuda'], addonPath: string): string {
  const { folder, format, hash, targets, compiler } = images;
  if (format === '') return `none in ${folder}; build ${build} is needed`;
  const place = folder === `${dirname(addonPath)}/cuda` ? '' : `, ${folder}`;
  const made = targets === '' ? '' : ` ${hash} by ${compiler} for ${targets}`;
  const own = images.build === build ? '' : `; build ${build} is needed`;
  return `build ${images.build || 'unknown'}${own}, ${format}${made}${place}`;
}

function gpuText(
  { name, computeCapability = '', memoryBytes, reason }: DeviceDescription,
  { images, reason: ofAll }: NativeInfo['cuda'],
): string {
  const facts = `${name}, compute capability ${computeCapability}, ${bytes(memoryBytes)}`;
  if (reason === '') return `${facts}: can be used, ${codeFor(computeCapability, images)}`;
  return reason === ofAll ? facts : `${facts}: cannot be used: ${reason}`;
}

/** What of the images a GPU runs: machine code of its own generation that is not newer than itself, else what the driver makes of the PTX. */
export function codeFor(computeCapability: string, { targets }: Images): string {
  const number = Number(computeCapability.replace('.', ''));
  const codes = [...targets.matchAll(/\bsm_(\d+)/g)].map(([, code]) => Number(code));
  const own = codes.filter((code) => code <= number && Math.floor(code / 10) === Math.floor(number / 10));
  if (own.length > 0) return `machine code of sm_${Math.max(...own)}`;
  return `PTX of ${/\bcompute_\d+/.exec(targets)?.[0] ?? 'unknown origin'}, which the driver compiles`;
}

/** How outcomes are told, in the order in which they are listed: what matters first. */
const outcomes: Readonly<Record<KernelOutcome, { readonly heading: string; readonly count: string }>> = {
  failed: { heading: 'FAILED', count: 'failed' },
  differs: { heading: 'DIFFERS', count: 'differ' },
  unchecked: { heading: 'not checked', count: 'not made' },
  agree: { heading: 'ok', count: 'agree' },
};
const inOrder = Object.keys(outcomes) as KernelOutcome[];

/**
 * What the check of a GPU's kernels found: a summary, then the kernels with their errors in each number format, those that did not agree
 * first.
 */
export function kernelReport(checks: readonly KernelCheck[], seconds: number): string {
  const kernels = new Set(checks.map(({ kernel }) => kernel)).size;
  const counts = inOrder
    .map((outcome) => ({ outcome, count: checks.filter((check) => check.outcome === outcome).length }))
    .filter(({ outcome, count }) => count > 0 || outcome === 'agree')
    .map(({ outcome, count }) => `${outcomes[outcome].count}: ${count}`);
  const unchecked = checks.find(({ outcome }) => outcome === 'unchecked');
  return [
    `${checks.length} checks of ${kernels} kernels in ${seconds.toFixed(1)} s; ${counts.join(', ')}`,
    ...(unchecked ? [unchecked.problem] : []),
    `largest differences over the largest numbers: ${largestErrors(checks)}`,
    columns(inOrder.flatMap((outcome) => kernelRows(checks, outcome))),
  ].join('\n');
}

/** For each number format the kernel that took most of its tolerance. */
function largestErrors(checks: readonly KernelCheck[]): string {
  const formats = [...new Set(checks.map(({ format }) => format))];
  const worst = formats.map((format) => {
    const computed = checks.filter((check) => check.format === format && !Number.isNaN(check.error));
    return computed.sort((a, b) => share(b) - share(a))[0];
  });
  const told = worst.filter((check) => check !== undefined);
  if (told.length === 0) return 'none, since nothing was computed';
  return told
    .map((check) => `${check.format} ${power(check.error)} of ${power(check.tolerance)} (${check.kernel})`)
    .join(', ');
}

/** Rows of three columns: the outcome, the kernel, and its errors or problems. */
function kernelRows(checks: readonly KernelCheck[], outcome: KernelOutcome): string[][] {
  const { heading } = outcomes[outcome];
  const found = checks.filter((check) => check.outcome === outcome);
  return [...new Set(found.map(({ kernel }) => kernel))].flatMap((kernel) => {
    const own = found.filter((check) => check.kernel === kernel);
    if (outcome === 'failed' || outcome === 'differs') {
      return own.map(({ format, problem }) => [heading, kernel, `${format}: ${problem}`]);
    }
    const errors = own.map(({ format, error }) => (outcome === 'agree' ? `${format} ${power(error)}` : format));
    return [[heading, kernel, errors.join(', ')]];
  });
}

const share = ({ error, tolerance }: KernelCheck): number => (error === 0 ? 0 : error / tolerance);
const power = (value: number): string => (value === 0 ? '0' : value.toExponential(0));
