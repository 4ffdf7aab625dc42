import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mapOrdered } from '../src/ordered-map.ts';

it('keeps the order and the bound, whatever takes how long', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 6 }),
      async (delays, concurrency) => {
        let inFlight = 0;
        let most = 0;
        const results: number[] = [];
        const items = delays.map((delay, index) => ({ delay, index }));
        for await (const index of mapOrdered(items, concurrency, async ({ delay, index }) => {
          most = Math.max(most, ++inFlight);
          await sleep(delay);
          inFlight--;
          return index;
        })) {
          results.push(index);
        }
        expect(results).toEqual(items.map(({ index }) => index));
        expect(most).toBe(Math.min(concurrency, delays.length));
      },
    ),
    { numRuns: 30 },
  );
});

it.each(['an error', 'a break'])('waits for what is in flight after %s', async (end) => {
  let inFlight = 0;
  const work = async (item: number): Promise<number> => {
    inFlight++;
    await sleep(item * 5);
    inFlight--;
    if (item > 0) throw new Error(`item ${item}`);
    return item;
  };
  const loop = async (): Promise<void> => {
    for await (const _ of mapOrdered([0, 1, 2, 3, 4], 4, work)) if (end === 'a break') break;
  };
  if (end === 'a break') await loop();
  else await expect(loop()).rejects.toThrow('item 1');
  expect(inFlight).toBe(0);
});
