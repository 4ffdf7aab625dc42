import { askedRatio } from '../asked.ts';
import type { BenchConfig } from '../configs.ts';
import { sampleSession } from '../ours/sample-session.ts';
import type { CaseResult } from '../result.ts';
import { type BenchContext, compareWithPeer, type Suite } from './suite.ts';

/** Images at once, and DDIM steps of one measurement: enough to last a tenth of a second. */
const batches = [
  { batch: 16, steps: 2 },
  { batch: 1, steps: 10 },
] as const;

/** DDIM, time of one step of all images. */
export const sampleSuite: Suite = {
  name: 'sample',
  description: 'one step of DDIM, for 16 images and for 1',
  cases: (context) =>
    context.configs.flatMap((config) =>
      batches.map(({ batch, steps }) => ({
        name: `${config.name}, DDIM step, batch ${batch}`,
        measure: () => measureSampling(context, config, batch, steps),
      })),
    ),
};

async function measureSampling(
  context: BenchContext,
  config: BenchConfig,
  batch: number,
  steps: number,
): Promise<CaseResult> {
  const session = await sampleSession(config, context.device, { batch, steps });
  try {
    return await compareWithPeer(context, {
      suite: 'sample',
      name: `${config.name}, DDIM step, batch ${batch}`,
      ours: session,
      work: { kind: 'sample', config: config.diffusers, batch, steps },
      rounds: context.quick ? 3 : 9,
      asked: askedRatio(`sample ${config.name}, batch ${batch}`, context),
    });
  } finally {
    session.dispose();
  }
}
