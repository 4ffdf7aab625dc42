import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';

/**
 * Runs an example when its file is what Node was started with, and prints what it returns; does nothing when a test imports it.
 *
 * @param url `import.meta.url` of the example.
 */
export async function runAsScript(url: string, run: () => Promise<object>): Promise<void> {
  if (url !== pathToFileURL(process.argv[1] ?? '').href) return;
  const begin = performance.now();
  const result = await run();
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  for (const [name, value] of Object.entries(result)) console.log(`${name}: ${show(value)}`);
  console.log(`(${seconds} s)`);
}

function show(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value);
}
