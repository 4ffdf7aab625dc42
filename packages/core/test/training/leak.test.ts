import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test.runIf(process.platform === 'linux')(
  'resident memory stays within 1 % over 2,000 steps',
  { timeout: 180_000 },
  async () => {
    const script = join(dirname(fileURLToPath(import.meta.url)), 'leak.ts');
    const { stdout } = await promisify(execFile)('npx', ['tsx', '--expose-gc', '--conditions=@diffuse/source', script]);
    const samples = JSON.parse(stdout) as number[];
    expect(samples).toHaveLength(21);
    const half = (part: number[]): number => part.reduce((a, b) => a + b, 0) / part.length;
    const [first, second] = [half(samples.slice(0, 10)), half(samples.slice(11))];
    expect(second / first).toBeLessThan(1.01);
  },
);
