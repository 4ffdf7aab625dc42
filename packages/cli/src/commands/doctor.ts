import type { DeviceName, KernelCheck } from '@diffuse/core';
import type { Command } from '../command.ts';
import type { Environment } from '../doctor/environment.ts';
import type { CheckResult } from '../doctor/self-check.ts';
import { exitCodes, Failure, messageOf } from '../failure.ts';
import { flag, type SettingTable } from '../settings/kinds.ts';
import { columns, deviceText } from '../terminal/format.ts';
import type { Report } from '../terminal/report.ts';

/** The flags of `doctor`. */
export interface DoctorFlags {
  check?: boolean;
}

const settings: SettingTable<DoctorFlags> = {
  check: {
    kind: flag(),
    description: 'also compute, on the CPU and every GPU: each kernel beside the CPU, sums beside float64',
    group: 'Checks:',
  },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadSelfCheck = () => import('../doctor/self-check.ts');
const loadEnvironment = () => import('../doctor/environment.ts');
const loadGpuText = () => import('../doctor/gpu-text.ts');

/** `diffuse doctor`. */
export const doctorCommand: Command<DoctorFlags> = {
  name: 'doctor',
  summary: 'devices, instruction sets, threads and libraries: found or missing, and why',
  settings,
  examples: [['diffuse doctor --check', 'look around and compute something']],
  async run({ check = false }, { report }) {
    const { readEnvironment } = await loadEnvironment();
    const environment = await readEnvironment();
    report.event('environment', { ...environment });
    const { cudaRows } = await loadGpuText();
    report.result(
      columns(describe(environment, 'cuda' in environment.addon ? cudaRows(environment.addon, environment.gpus) : [])),
    );
    if ('error' in environment.addon) throw new Failure(exitCodes.failed, environment.addon.error);
    if ('error' in environment.images) throw new Failure(exitCodes.failed, environment.images.error);
    if (!check) return;
    const usable = environment.gpus.filter(({ reason }) => reason === '').map(({ device }) => device);
    const failed: string[] = [];
    const sound: DeviceName[] = ['cpu'];
    for (const device of usable) {
      const problems = await checkKernels(device, report);
      failed.push(...problems.map((problem) => `${problem} on ${device}`));
      if (problems.length === 0) sound.push(device);
    }
    for (const device of sound) failed.push(...(await checkComputation(device, report)));
    for (const device of usable.filter((each) => !sound.includes(each))) {
      report.result(`\n${device}: nothing else was computed on it`);
    }
    if (failed.length > 0) throw new Failure(exitCodes.failed, `the self-check failed: ${failed.join(', ')}`);
  },
};

/** Every kernel of a GPU beside the CPU's; returns what kept it from being sound. */
async function checkKernels(device: DeviceName, report: Report): Promise<string[]> {
  const { checkGpu } = await import('@diffuse/core');
  const { kernelReport } = await loadGpuText();
  const begin = performance.now();
  let checks: readonly KernelCheck[];
  try {
    checks = await checkGpu(device);
  } catch (error) {
    report.event('kernels', { device, problem: messageOf(error) });
    report.result(`\n${device}: its kernels could not be checked: ${messageOf(error)}`);
    return ['all checks of kernels'];
  }
  const seconds = (performance.now() - begin) / 1000;
  for (const check of checks) report.event('kernel', { device, ...check });
  report.event('kernels', { device, checks: checks.length, agree: checks.filter(({ ok }) => ok).length, seconds });
  report.result(`\n${device}: every kernel beside the CPU's`);
  report.result(kernelReport(checks, seconds));
  const unsound = checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'differs');
  const unchecked = checks.filter(({ outcome }) => outcome === 'unchecked').length;
  const failed = [...new Set(unsound.map(({ kernel }) => kernel))];
  return unchecked > 0 ? [...failed, `${unchecked} checks that were not made`] : failed;
}

/** Sums beside float64, and a training; returns what failed. */
async function checkComputation(name: DeviceName, report: Report): Promise<string[]> {
  const { openDevice } = await import('@diffuse/core');
  const { selfCheck } = await loadSelfCheck();
  using device = await openDevice(name, { selfCheck: false });
  const results = await selfCheck(device);
  for (const result of results) report.event('check', { device: name, ...result });
  report.result(`\n${device.name}: sums beside float64, and a training`);
  report.result(columns(results.map(checkRow)));
  return results.filter(({ ok }) => !ok).map((result) => `${result.name} on ${name}`);
}

function checkRow({ name, ok, detail }: CheckResult): string[] {
  return [ok ? 'ok' : 'FAILED', name, detail];
}

function formatsText({ names, bf16Products }: Environment['numberFormats']): string {
  const products = bf16Products
    ? 'this CPU multiplies bf16 (amx)'
    : 'bf16 saves memory only: this CPU has no matrix unit for it (amx)';
  return `${names.join(', ')}; ${products}`;
}

/** Why `auto` takes no GPU, unless that is the reason why none can be used, which has its own row. */
function warningsOf({ addon, device }: Environment): readonly string[] {
  const told = 'cuda' in addon ? addon.cuda.reason : '';
  return (device?.warnings ?? []).filter((warning) => told === '' || !warning.includes(told));
}

function describe(environment: Environment, cuda: string[][]): string[][] {
  const { node, platform, cpu, cores, addon, device, numberFormats, images, cacheDirectory } = environment;
  const [used, ...others] = 'isas' in addon ? addon.isas : [];
  return [
    ...('version' in addon ? [['diffuse', addon.version]] : []),
    ['node', node],
    ['platform', platform],
    ['cpu', `${cpu}, ${cores} cores for this process`],
    ['addon', 'path' in addon ? addon.path : `missing: ${addon.error}`],
    ...('abi' in addon ? [['interface', String(addon.abi)]] : []),
    ...(used === undefined
      ? []
      : [['instruction sets', `${used} (used)${others.map((name) => `, ${name}`).join('')}`]]),
    ...cuda,
    ...(device ? [['device', deviceText(device)]] : []),
    ...warningsOf(environment).map((warning) => ['', warning]),
    ['number formats', formatsText(numberFormats)],
    ['images', 'sharp' in images ? `sharp ${images.sharp}, libvips ${images.libvips}` : `missing: ${images.error}`],
    ['cache', cacheDirectory],
  ];
}
