import { DiffuseError } from '@diffuse/core';
import { type Ceiling, measureBandwidth, measurePeak } from '../ceilings.ts';
import type { BenchConfig } from '../configs.ts';
import { profileTrainStep } from '../ours/profiled-step.ts';
import type { BenchContext } from '../suites/suite.ts';
import { formatMs, table } from '../table.ts';
import { callShape, kernelCost } from './kernel-cost.ts';
import { type Ceilings, floorMs, type MeasuredCall, type RooflineRow, roofline } from './roofline.ts';

/** Rows of the table by shape: what follows takes next to nothing. */
const shapesShown = 30;

/** A training step, kernel by kernel, held against what the machine could do, as text. @throws `ERR_DEVICE` without a compiler. */
export async function rooflineText(config: BenchConfig, device: BenchContext['device']): Promise<string> {
  const ceilings = {
    peakGflops: known(await measurePeak(device)),
    memoryGBs: known(await measureBandwidth(device.threads)),
  };
  const calls = (await profileTrainStep(config, device)).map(({ kernel, timeMs, node, plan, storageOf }) => ({
    ...{ kernel, timeMs, shape: callShape(node) },
    ...kernelCost(node, plan, storageOf),
  }));
  return stepText(`${config.name}, batch ${config.batch}, ${device.precision ?? 'fp32'}`, calls, ceilings);
}

function known(ceiling: Ceiling): number {
  if ('value' in ceiling) return ceiling.value;
  throw new DiffuseError('ERR_DEVICE', ceiling.missing);
}

/** The tables of one step. */
export function stepText(title: string, calls: readonly MeasuredCall[], ceilings: Ceilings): string {
  const total = calls.reduce((ms, { timeMs }) => ms + timeMs, 0);
  const floor = calls.reduce((ms, call) => ms + floorMs(call, ceilings), 0);
  const flops = calls.reduce((count, call) => count + call.flops, 0);
  const header = ['calls', 'ms', 'share', 'floor ms', 'of floor', 'bound by', 'GFLOP/s'];
  const byShape = roofline(calls, ceilings, ({ kernel, shape }) => `${kernel} ${shape}`);
  return [
    [
      `${title}: ${formatMs(total)} ms a training step in ${calls.length} kernel calls, ${(flops / 1e9).toFixed(0)} GFLOP by definition`,
      `peak of multiply-adds ${ceilings.peakGflops.toFixed(0)} GFLOP/s, memory ${ceilings.memoryGBs.toFixed(1)} GB/s`,
      `floor ${formatMs(floor)} ms, ${percent(floor / total)} of the step`,
    ].join('\n'),
    table(['kernel', ...header], roofline(calls, ceilings, ({ kernel }) => kernel).map(cells)),
    table(['kernel and shape', ...header], byShape.slice(0, shapesShown).map(cells)),
  ].join('\n\n');
}

function cells({ name, calls, timeMs, share, floorMs: floor, bound, gflops }: RooflineRow): string[] {
  return [
    ...[name, String(calls), formatMs(timeMs), percent(share), formatMs(floor), percent(floor / timeMs), bound],
    gflops > 0 ? gflops.toFixed(0) : '',
  ];
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
