// Kills a training process at 200 random moments, resumes it each time, and compares the result with that of an uninterrupted run.
//
//   pnpm test:kill [number of kills]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '@diffuse/cli';
import { trainThroughKills } from '../packages/cli/test/kill-harness.ts';
import { resultOf, tinyImages, tinyModel } from '../packages/cli/test/run-files.ts';

const kills = Number(process.argv[2] ?? 200);
const steps = 12 * kills;
const folder = await mkdtemp(join(tmpdir(), 'diffuse-soak-'));
try {
  const data = await tinyImages(join(folder, 'photos'));
  const flags = [...tinyModel, `--steps=${steps}`, '--checkpoint-every=3', `--cache-dir=${join(folder, 'cache')}`];
  const whole = join(folder, 'whole');
  if ((await runCli(['train', '--data', data, '--out', whole, ...flags, '--quiet'])) !== 0) process.exit(1);
  const killed = join(folder, 'killed');
  const onKill = (number: number, step: number): void => console.log(`kill ${number}: checkpoint at step ${step}`);
  const checkpoints = await trainThroughKills({ data, out: killed, flags, kills, onKill });
  const [expected, actual] = [await resultOf(whole), await resultOf(killed)];
  const different = Object.keys(expected).filter((path) => expected[path] !== actual[path]);
  const during = checkpoints.filter((step) => step > 0 && step < steps).length;
  console.log(`${kills} kills, ${during} of them between the first checkpoint and the end`);
  if (different.length > 0 || Object.keys(actual).length !== Object.keys(expected).length) {
    console.error(`the results differ: ${different.join(', ') || 'other files'}`);
    process.exitCode = 1;
  } else {
    console.log('the result has the same bytes as that of an uninterrupted run');
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
