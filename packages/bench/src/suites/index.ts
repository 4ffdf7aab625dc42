import { blockSuite } from './block.ts';
import { convergenceSuite } from './convergence.ts';
import { dataSuite } from './data.ts';
import { forwardSuite } from './forward.ts';
import { memorySuite } from './memory.ts';
import { opsSuite } from './ops.ts';
import { qualitySuite } from './quality.ts';
import { sampleSuite } from './sample.ts';
import { scalingSuite } from './scaling.ts';
import { startupSuite } from './startup.ts';
import type { Suite } from './suite.ts';
import { trainStepSuite } from './train-step.ts';

/** Every suite, in the order in which they run. */
export const suites: readonly Suite[] = [
  opsSuite,
  blockSuite,
  trainStepSuite,
  forwardSuite,
  sampleSuite,
  scalingSuite,
  dataSuite,
  startupSuite,
  memorySuite,
  qualitySuite,
  convergenceSuite,
];
