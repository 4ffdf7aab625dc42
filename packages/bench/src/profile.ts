import type { BenchConfig } from './configs.ts';
import type { BenchDevice } from './ours/bench-device.ts';
import { profileTrainStep } from './ours/profiled-step.ts';
import { callShape } from './roofline/kernel-cost.ts';
import { formatMs, table } from './table.ts';

/**
 * Where the time of a training step goes: median time of each kernel call over a few steps, as text.
 *
 * @param explain adds every call with the way it is computed.
 */
export async function profileText(config: BenchConfig, device: BenchDevice, explain = false): Promise<string> {
  const calls = await profileTrainStep(config, device);
  const total = calls.reduce((sum, { timeMs }) => sum + timeMs, 0);
  const share = (ms: number): string => `${((100 * ms) / total).toFixed(1)} %`;

  const kernels = [...new Set(calls.map(({ kernel }) => kernel))]
    .map((kernel) => {
      const own = calls.filter((call) => call.kernel === kernel);
      return { kernel, count: own.length, timeMs: own.reduce((sum, { timeMs }) => sum + timeMs, 0) };
    })
    .sort((a, b) => b.timeMs - a.timeMs);
  const longest = [...calls].sort((a, b) => b.timeMs - a.timeMs).slice(0, 15);
  return [
    `${config.name}, batch ${config.batch}: ${formatMs(total)} ms a step in ${calls.length} kernel calls`,
    table(
      ['kernel', 'calls', 'ms', 'share'],
      kernels.map(({ kernel, count, timeMs }) => [kernel, String(count), formatMs(timeMs), share(timeMs)]),
    ),
    table(
      ['longest calls', 'ms', 'share'],
      longest.map(({ name, timeMs }) => [name, formatMs(timeMs), share(timeMs)]),
    ),
    ...(explain
      ? [
          table(
            ['kernel', 'shape', 'ms', 'computed'],
            calls.map(({ kernel, node, timeMs, plan }) => [kernel, callShape(node), formatMs(timeMs), plan]),
          ),
        ]
      : []),
  ].join('\n\n');
}
