import { askedRatio } from '../asked.ts';
import type { BenchConfig } from '../configs.ts';
import { forwardSession } from '../ours/forward-session.ts';
import type { CaseResult } from '../result.ts';
import { type BenchContext, compareWithPeer, type Suite } from './suite.ts';

const batches = [1, 16] as const;

/** Forward passes as a runtime for networks does them. */
export const forwardSuite: Suite = {
  name: 'forward',
  description: "one forward pass, for 1 image and for 16; the peer is onnxruntime with PyTorch's export",
  peer: 'onnxruntime',
  cases: (context) =>
    context.configs.flatMap((config) =>
      batches.map((batch) => {
        const name = `${config.name}, forward, batch ${batch}`;
        return { name, measure: () => measureForward(context, config, batch, name) };
      }),
    ),
};

async function measureForward(
  context: BenchContext,
  config: BenchConfig,
  batch: number,
  name: string,
): Promise<CaseResult> {
  const session = await forwardSession(config, batch, context.device);
  try {
    return await compareWithPeer(context, {
      ...{ suite: 'forward', name, ours: session },
      work: { kind: 'forward', config: config.diffusers, batch },
      rounds: context.quick ? 5 : 15,
      // The threads of onnxruntime spin for long after a run, in its fastest variant: they took a third of a core from ours.
      settleMs: 300,
      asked: askedRatio(`forward ${config.name}`, context),
    });
  } finally {
    session.dispose();
  }
}
