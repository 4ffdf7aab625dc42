import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { PreparedWork } from '../src/peers/peer.ts';
import { tryVariants } from '../src/peers/trial.ts';

/** Says how long it took without taking it, and counts. */
function variant(ms: number, counts: Map<number, number>): PreparedWork {
  return {
    ...{ pid: process.pid, variant: String(ms), release: async () => undefined },
    async run() {
      counts.set(ms, (counts.get(ms) ?? 0) + 1);
      return ms;
    },
  };
}

test('without patience each variant runs once after a run that warms up', async () => {
  const counts = new Map<number, number>();
  const trial = await tryVariants([300, 100, 200], String, async (ms) => variant(ms, counts), false);
  expect(trial).toEqual({ best: 100, tried: { 100: 100, 200: 200, 300: 300 } });
  expect([...counts.values()]).toEqual([2, 2, 2]);
});

test('with patience each variant runs for half a second', async () => {
  let runs = 0;
  const slow: PreparedWork = {
    ...{ pid: process.pid, variant: 'slow', release: async () => undefined },
    async run() {
      await sleep(100);
      runs++;
      return 1;
    },
  };
  const trial = await tryVariants(['slow', 'broken'], String, async (name) => (name === 'slow' ? slow : fail()), true);
  expect(trial).toEqual({ best: 'slow', tried: { slow: 1, broken: 'not today' } });
  expect(runs).toBeGreaterThan(4);
});

function fail(): never {
  throw new Error('not today');
}

test('the only variant needs no trial', async () => {
  const counts = new Map<number, number>();
  expect(await tryVariants([5], String, async (ms) => variant(ms, counts), true)).toEqual({ best: 5, tried: {} });
  expect(counts.size).toBe(0);
});
