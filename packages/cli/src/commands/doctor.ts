import type { Command } from '../command.ts';
import type { Environment } from '../doctor/environment.ts';
import type { CheckResult } from '../doctor/self-check.ts';
import { exitCodes, Failure } from '../failure.ts';
import { flag, type SettingTable } from '../settings/kinds.ts';
import { columns } from '../terminal/format.ts';

/** The flags of `doctor`. */
export interface DoctorFlags {
  check?: boolean;
}

const settings: SettingTable<DoctorFlags> = {
  check: { kind: flag(), description: 'also compute something and compare it with float64', group: 'Checks:' },
};

// Loaded when the command runs, so that --help stays quick. Functions of their own, since TypeScript 6.0 leaves the ending .ts of a
// dynamic import as it is where the function around it has a `using`.
const loadSelfCheck = () => import('../doctor/self-check.ts');
const loadEnvironment = () => import('../doctor/environment.ts');

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
    report.result(columns(describe(environment)));
    if ('error' in environment.addon) throw new Failure(exitCodes.failed, environment.addon.error);
    if ('error' in environment.images) throw new Failure(exitCodes.failed, environment.images.error);
    if (!check) return;
    const { openDevice } = await import('@diffuse/core');
    const { selfCheck } = await loadSelfCheck();
    using device = await openDevice('auto');
    const results = await selfCheck(device);
    for (const result of results) report.event('check', { ...result });
    report.result(columns(results.map(checkRow)));
    const failed = results.filter(({ ok }) => !ok);
    if (failed.length > 0) {
      throw new Failure(exitCodes.failed, `the self-check failed: ${failed.map(({ name }) => name).join(', ')}`);
    }
  },
};

function checkRow({ name, ok, detail }: CheckResult): string[] {
  return [ok ? 'ok' : 'FAILED', name, detail];
}

function formatsText({ names, bf16Products }: Environment['numberFormats']): string {
  const products = bf16Products
    ? 'this CPU multiplies bf16 (amx)'
    : 'bf16 saves memory only: this CPU has no matrix unit for it (amx)';
  return `${names.join(', ')}; ${products}`;
}

function describe(environment: Environment): string[][] {
  const { node, platform, cpu, cores, addon, device, numberFormats, images, cacheDirectory } = environment;
  const [used, ...others] = 'isas' in addon ? addon.isas : [];
  return [
    ['node', node],
    ['platform', platform],
    ['cpu', `${cpu}, ${cores} cores for this process`],
    ['addon', 'path' in addon ? addon.path : `missing: ${addon.error}`],
    ...('abi' in addon ? [['interface', String(addon.abi)]] : []),
    ...(used === undefined
      ? []
      : [['instruction sets', `${used} (used)${others.map((name) => `, ${name}`).join('')}`]]),
    ...(device ? [['device', `${device.name}, ${device.threads} threads`]] : []),
    ['number formats', formatsText(numberFormats)],
    ['cuda', 'not used: this version has the CPU backend only'],
    ['images', 'sharp' in images ? `sharp ${images.sharp}, libvips ${images.libvips}` : `missing: ${images.error}`],
    ['cache', cacheDirectory],
  ];
}
