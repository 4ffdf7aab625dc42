import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { isGood, type Judgement, largestRatio } from './judge.ts';

/**
 * Runs an example when its file is what Node was started with, and prints what it returns; does nothing when a test imports it. The
 * process ends with exit code 1 when the samples are too far from the data.
 *
 * @param url `import.meta.url` of the example.
 */
export async function runAsScript(url: string, run: () => Promise<Judgement>): Promise<void> {
  if (url !== pathToFileURL(process.argv[1] ?? '').href) return;
  const begin = performance.now();
  const result = await run();
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  for (const [name, value] of Object.entries(result)) console.log(`${name}: ${show(value)}`);
  console.log(`(${seconds} s)`);
  if (isGood(result)) return;
  console.error(`the samples are too far from the data: the ratio must be at most ${largestRatio}`);
  process.exitCode = 1;
}

function show(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value);
}
