// Runs every example at its full size, prints how near its samples are to its data, and fails where one is too far.
//
//   pnpm test:examples [seed …]
import { performance } from 'node:perf_hooks';
import * as climb from '../examples/climb-classifier.ts';
import * as latent from '../examples/latent.ts';
import { isGood, type Judgement, largestRatio } from '../examples/lib/judge.ts';
import * as moons from '../examples/moons.ts';
import * as signals from '../examples/signals.ts';
import * as text from '../examples/text.ts';
import * as video from '../examples/video.ts';

const examples: Readonly<Record<string, (seed: number) => Promise<Judgement>>> = {
  moons: (seed) => moons.run({ seed }),
  signals: (seed) => signals.run({ seed }),
  video: (seed) => video.run({ seed }),
  latent: (seed) => latent.run({ seed }),
  'text, masked': (seed) => text.run({ seed, transition: 'absorbing' }),
  'text, replaced': (seed) => text.run({ seed, transition: 'uniform' }),
  'climb-classifier': (seed) => climb.run({ seed }),
};

const seeds = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [0];
if (!seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)) {
  console.error(`seeds are integers from 0 on; got ${process.argv.slice(2).join(' ')}`);
  process.exit(2);
}

const row = (...cells: readonly [string, ...string[]]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(18) : cell.padStart(10))).join('');
console.log(row('example', 'seed', 'distance', 'floor', 'ratio', 'seconds'));
let bad = 0;
for (const seed of seeds) {
  for (const [name, run] of Object.entries(examples)) {
    const begin = performance.now();
    const judgement = await run(seed);
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    const { distance, floor, ratio } = judgement;
    const [far, near] = [distance, floor].map((value) => value.toPrecision(3));
    console.log(row(name, String(seed), far ?? '', near ?? '', ratio.toFixed(2), seconds));
    if (!isGood(judgement)) bad += 1;
  }
}
if (bad > 0) {
  console.error(`${bad} of ${seeds.length * Object.keys(examples).length} ratios are above ${largestRatio}`);
  process.exitCode = 1;
}
