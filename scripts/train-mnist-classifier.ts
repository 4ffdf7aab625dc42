// Trains the classifier that judges pictures of digits: on MNIST's 60,000 training images, tested on the 10,000 others.
//
//   pnpm mnist-classifier [--out DIR] [--steps N] [--seed N] [--threads N]
//
// The same seed gives the same weights, bit for bit, on every machine of one instruction set; their hash is printed. Fails when the
// classifier is too bad to judge anything.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { runCli } from '@diffuse/cli';
import { classifierAccuracy, loadRun, openDevice } from '@diffuse/core';
import { openImages } from '@diffuse/data';
import { mnistFile } from '@diffuse/testkit';

/** Share of the test images that must be told right. */
const leastAccuracy = 0.985;

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/mnist-classifier' },
    steps: { type: 'string' },
    seed: { type: 'string' },
    threads: { type: 'string' },
  },
});
const { out } = values;
const given = (['steps', 'seed', 'threads'] as const).flatMap((name) =>
  values[name] === undefined ? [] : [`--${name}`, values[name]],
);

const begin = performance.now();
const exitCode = await runCli([
  ...['train', '--task', 'classifier', '--out', out],
  ...['--data', await mnistFile('train-images-idx3-ubyte'), '--labels', await mnistFile('train-labels-idx1-ubyte')],
  ...given,
]);
if (exitCode !== 0) process.exit(exitCode);
const seconds = (performance.now() - begin) / 1000;

using device = await openDevice('cpu');
using test = await openImages(await mnistFile('t10k-images-idx3-ubyte'), {
  labels: await mnistFile('t10k-labels-idx1-ubyte'),
});
const { model } = await loadRun(out, { device, kind: 'classifier' });
const accuracy = await classifierAccuracy(model, device, test);
const weights = await readFile(join(out, 'model_ema/model.safetensors'));
console.log(`${(100 * accuracy).toFixed(2)} % of the ${test.count} test images are told right`);
console.log(
  `trained in ${seconds.toFixed(0)} s; SHA-256 of the weights: ${createHash('sha256').update(weights).digest('hex')}`,
);
if (accuracy < leastAccuracy) {
  console.error(`expected at least ${100 * leastAccuracy} %`);
  process.exitCode = 1;
}
