import { expect, test } from 'vitest';
import { goal } from '../src/asked.ts';
import { compareResults, comparisonText } from '../src/compare.ts';
import { reportText } from '../src/report.ts';
import { type BenchResult, type CaseResult, figureProblem, resultProblem } from '../src/result.ts';

const row = (name: string, [minMs, medianMs, maxMs]: [number, number, number]): CaseResult => ({
  suite: 'ops',
  name,
  precision: 'fp32',
  ours: { medianMs, minMs, maxMs, runs: 5, peakBytes: 1e6 },
});

const result = (...cases: CaseResult[]): BenchResult => ({
  machine: {
    ...{ cpu: 'a CPU', cores: 2, memoryBytes: 8e9, isa: ['avx2'], device: 'cpu avx2' },
    ...{ threads: 2, os: 'Linux 6', node: 'v20.19.0', fmaGflops: 100 },
  },
  commit: 'abc',
  date: '2026-01-01T00:00:00.000Z',
  cases,
  notes: ['no peer: pytorch: none'],
});

const withPeer: CaseResult = {
  ...row('matmul', [9, 10, 12]),
  peer: {
    name: 'pytorch',
    version: '2',
    variant: 'eager',
    precision: 'fp32',
    medianMs: 25,
    minMs: 20,
    maxMs: 30,
    runs: 5,
  },
  ratio: 2.5,
  flops: 5e8,
  fractionOfPeak: 0.5,
  otherCores: 0.3,
  goals: [goal('ratio', 2.5, { atLeast: 3 }), goal('time over the floor', 1.1, { atMost: 1.2 })],
};

test('a result has the documented form', () => {
  expect(resultProblem(result(row('matmul', [9, 10, 12]), withPeer))).toBeUndefined();
});

test.each([
  [null, 'the whole is no object'],
  [{ ...result(), commit: 1 }, 'commit is 1'],
  [{ ...result(), cases: {} }, 'cases is {}'],
  [result({ ...row('a', [1, 2, 3]), suite: undefined } as unknown as CaseResult), 'cases[0].suite is missing'],
  [result({ ...row('a', [1, 2, 3]), ours: {} } as unknown as CaseResult), 'cases[0].ours.medianMs is missing'],
  [result({ ...withPeer, ratio: 'x' } as unknown as CaseResult), 'cases[0].ratio is "x"'],
  [result({ ...withPeer, peer: { name: 'p' } } as unknown as CaseResult), 'cases[0].peer.version is missing'],
  [result({ ...withPeer, goals: [{ name: 'x' }] } as unknown as CaseResult), 'cases[0].goals[0].value is missing'],
])('another form is named: %#', (value, problem) => {
  expect(resultProblem(value)).toBe(problem);
});

test('the table shows both sides, the ratio and a disturbed measurement', () => {
  const text = reportText(result(withPeer));
  expect(text).toMatch(/matmul +10\.0 +9\.00-12\.0 +1 MB +25\.0 +20\.0-30\.0 +2\.50 +50 % +0\.30 ! +pytorch eager\n/);
  expect(text).toContain('not to be trusted');
  expect(text).not.toContain('of memory');
  expect(text).toMatch(/ops: matmul +ratio +2\.50 +>= 3 +NO\n/);
  expect(text).toMatch(/ops: matmul +time over the floor +1\.10 +<= 1\.2 +yes\n/);
  expect(text).toContain('note: no peer: pytorch: none');
});

test('a change counts when the spreads do not overlap', () => {
  const before = result(row('a', [9, 10, 11]), row('b', [9, 10, 11]), row('c', [9, 10, 11]), row('gone', [1, 1, 1]));
  const after = result(row('a', [4, 5, 6]), row('b', [10, 10.5, 12]), row('c', [19, 20, 21]), row('new', [1, 1, 1]));
  const { changes, unmatched, warnings } = compareResults(before, after);
  expect(changes.map(({ name, speedup, verdict }) => [name, speedup, verdict])).toEqual([
    ['a', 2, 'faster'],
    ['b', 10 / 10.5, 'same'],
    ['c', 0.5, 'slower'],
  ]);
  expect(changes[0]?.speedupRange).toEqual([9 / 6, 11 / 4]);
  expect(unmatched).toEqual(['ops: gone, fp32', 'ops: new, fp32']);
  expect(warnings).toEqual([]);
});

test('results of different machines are compared with a warning', () => {
  const before = result(row('a', [1, 1, 1]));
  const after = { ...before, machine: { ...before.machine, cpu: 'another' } };
  expect(comparisonText(before, after)).toContain('different machines: cpu is a CPU and another');
});

const judged = (value: number, limit?: number): CaseResult => ({
  ...row('digits', [6e5, 6e5, 6e5]),
  suite: 'quality',
  figure: { name: 'FID', value, better: 'lower', ...(limit !== undefined && { limit }) },
});

test('a figure is shown with what it must be, compared, and found wanting', () => {
  expect(resultProblem(result(judged(2, 3)))).toBeUndefined();
  expect(reportText(result(judged(2, 3)))).toMatch(/digits +FID +2\.000 +<= 3\.000 +10\.0 min/);
  expect(comparisonText(result(judged(2, 3)), result(judged(4, 3)))).toContain('digits: 2.000 before, 4.000 after');
  const wanting = (better: 'lower' | 'higher', value: number, limit?: number): string | undefined =>
    figureProblem({ name: 'x', value, better, ...(limit !== undefined && { limit }) });
  expect(wanting('lower', 3, 3)).toBeUndefined();
  expect(wanting('lower', 3.1, 3)).toBe('x is 3.100; it must be at most 3.000');
  expect(wanting('higher', 0.96, 0.97)).toBe('x is 0.9600; it must be at least 0.9700');
  expect(wanting('higher', 0.98, 0.97)).toBeUndefined();
  expect(wanting('higher', 0)).toBeUndefined();
});
