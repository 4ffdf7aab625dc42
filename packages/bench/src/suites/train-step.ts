import { askedRatio } from '../asked.ts';
import type { BenchConfig } from '../configs.ts';
import { trainSession } from '../ours/train-session.ts';
import type { Work } from '../peers/peer.ts';
import { compareWithPeer, type Suite } from './suite.ts';

/** A training step as the peer does it. */
export function trainWork({ diffusers, batch }: BenchConfig): Work {
  return { kind: 'train-step', config: diffusers, batch };
}

/** Whole training steps: forward, loss, backward, AdamW. */
export const trainStepSuite: Suite = {
  name: 'train-step',
  description: 'forward, mean squared error, backward, AdamW; ours also draws its noise',
  cases: (context) =>
    context.configs.map((config) => ({
      name: `${config.name}, batch ${config.batch}`,
      async measure() {
        const session = await trainSession(config, context.device);
        try {
          return await compareWithPeer(context, {
            suite: 'train-step',
            name: `${config.name}, batch ${config.batch}`,
            ours: session,
            work: trainWork(config),
            rounds: context.quick ? 3 : 7,
            asked: askedRatio(`train-step ${config.name}`, context),
          });
        } finally {
          await session.dispose();
        }
      },
    })),
};
