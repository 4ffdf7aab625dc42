import { join } from 'node:path';
import { expect, test } from 'vitest';
import { resultOf, run, temporaryFolder, tinyImages, tinyModel } from './helpers.ts';
import { trainThroughKills } from './kill-harness.ts';

const kills = 20;

test(`a run that is killed ${kills} times at random moments ends with the same bytes`, {
  timeout: 300_000,
}, async () => {
  const folder = await temporaryFolder();
  const data = await tinyImages(join(folder, 'photos'));
  const flags = [...tinyModel, '--steps=240', '--checkpoint-every=3', `--cache-dir=${join(folder, 'cache')}`];
  const whole = join(folder, 'whole');
  expect((await run('train', '--data', data, '--out', whole, ...flags)).code).toBe(0);

  const killed = join(folder, 'killed');
  const steps = await trainThroughKills({ data, out: killed, flags, kills });
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  // Kills that hit after the end would prove nothing.
  expect(steps.filter((step) => step > 0 && step < 240).length).toBeGreaterThan(kills / 2);
  expect(await resultOf(killed)).toEqual(await resultOf(whole));
});
