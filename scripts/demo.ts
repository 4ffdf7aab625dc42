// The demo: trains a small model on MNIST for two minutes and shows what it draws.
//
//   pnpm demo [--seconds N] [--out DIR]
//
// It calls the command line's own functions, so everything it does can be done by hand.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@diffuse/cli';
import { mnistFile } from '@diffuse/testkit';

/** Seconds of training. */
const defaultSeconds = 120;

const { values } = parseArgs({ options: { seconds: { type: 'string' }, out: { type: 'string' } } });
const seconds = Number(values.seconds ?? defaultSeconds);
if (!(seconds > 0)) throw new RangeError(`--seconds must be a number above 0; got '${values.seconds}'`);
const out = values.out ?? 'demo';

const [images, labels] = await Promise.all([
  mnistFile('train-images-idx3-ubyte'),
  mnistFile('train-labels-idx1-ubyte'),
]);
const run = freshFolder(out);
const samples = join(out, 'samples.png');
const trajectory = join(out, 'trajectory.png');

console.log(`Training on MNIST for ${seconds} seconds: 60,000 digits, no pretrained weights.\n`);
await diffuse(
  'train',
  '--preset',
  'mnist',
  '--data',
  images,
  '--labels',
  labels,
  '--out',
  run,
  '--minutes',
  `${seconds / 60}`,
);
await diffuse('sample', '--model', run, '--out', samples, '-n', '64');
await diffuse('trajectory', '--model', run, '--out', trajectory, '--class', '3');

console.log(`
Look at
  ${samples}      64 digits drawn by the model
  ${trajectory}   how one of them came out of noise: x_t, the predicted noise, the estimate of x_0

Try next
  pnpm diffuse sample --model ${run} --out ${join(out, 'sevens.png')} -n 16 --class 7
  pnpm diffuse trajectory --model ${run} --out ${join(out, 'steps.gif')} -n 8
  pnpm diffuse inspect ${run}
  pnpm diffuse train --data YOUR-IMAGES --preset small --out runs/mine`);

/** Runs one command; the demo ends with it if it fails. */
async function diffuse(...args: string[]): Promise<void> {
  const exitCode = await runCli(args);
  if (exitCode !== 0) process.exit(exitCode);
}

/** `run`, or `run-2` and so on: nothing of an earlier demo is touched. */
function freshFolder(parent: string): string {
  for (let number = 1; ; number++) {
    const path = join(parent, number === 1 ? 'run' : `run-${number}`);
    if (!existsSync(path)) return path;
  }
}
