import { expect, test } from 'vitest';
import { alternate } from '../src/alternate.ts';

const subject = (name: string, order: string[], ms: number) => ({
  pid: process.pid,
  async run() {
    order.push(name);
    return ms;
  },
});

test('each side runs once unmeasured, then they take turns', async () => {
  const order: string[] = [];
  const result = await alternate(subject('ours', order, 1), subject('peer', order, 2), {
    rounds: 3,
    settleMs: 0,
    judgeLoad: false,
  });
  expect(order).toEqual(['ours', 'peer', 'ours', 'peer', 'ours', 'peer', 'ours', 'peer']);
  expect(result.ours).toEqual([1, 1, 1]);
  expect(result.peer).toEqual([2, 2, 2]);
});

test('without a peer ours runs alone', async () => {
  const order: string[] = [];
  const result = await alternate(subject('ours', order, 1), undefined, { rounds: 2, settleMs: 0, judgeLoad: false });
  expect(order).toEqual(['ours', 'ours', 'ours']);
  expect(result.peer).toEqual([]);
});

test('a busy neighbour is noticed, and the measurement is repeated at most as often as asked for', async () => {
  // Our own CPU time counts as that of others when another process is the one being measured.
  const busy = {
    pid: process.ppid,
    async run() {
      const end = performance.now() + 300;
      while (performance.now() < end);
      return 300;
    },
  };
  const result = await alternate(busy, undefined, { rounds: 2, settleMs: 0 });
  expect(result.ours).toHaveLength(4);
  expect(result.otherCores).toBeGreaterThan(0.1);
});
