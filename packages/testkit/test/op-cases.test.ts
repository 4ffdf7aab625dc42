import { expect } from 'vitest';
import { type CaseResult, type OpCase, opCases } from '../src/index.ts';
import { describeOnCpus, describeOnGpus } from './op-suite.ts';

function judge({ tolerance = 2e-6 }: OpCase, { outputErrors, gradientErrors }: CaseResult, views: boolean): void {
  for (const [name, error] of Object.entries(outputErrors)) {
    expect(error, `output ${name}${views ? ' as a view' : ''}`).toBeLessThanOrEqual(tolerance);
  }
  for (const [name, error] of Object.entries(gradientErrors)) {
    expect(error, `gradient of ${name}${views ? ' with views' : ''}`).toBeLessThanOrEqual(10 * tolerance);
  }
}

describeOnCpus({ precision: 'fp32', cases: opCases, judge });
describeOnGpus({ precision: 'fp32', cases: opCases, judge });
