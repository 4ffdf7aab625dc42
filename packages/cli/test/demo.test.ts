import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { ended, pngSize, temporaryFolder } from './helpers.ts';

test('the demo trains, draws and says where to look', { timeout: 180_000 }, async () => {
  const out = await temporaryFolder();
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const script = ['scripts/demo.ts', '--seconds', '5', '--out', out];
  const child = spawn(process.execPath, ['--conditions=@diffuse/source', '--import', tsx, ...script], { cwd: root });
  const { code, stdout, stderr } = await ended(child);
  expect(stderr).toContain('60000 images of 28 x 28, grey, 10 classes');
  expect(stderr).toMatch(/step \d+: checkpoint/);
  expect(code).toBe(0);
  expect(stdout).toContain(join(out, 'samples.png'));
  expect(await pngSize(join(out, 'samples.png'))).toEqual([8 * 58 - 2, 8 * 58 - 2]);
  const [, height] = await pngSize(join(out, 'trajectory.png'));
  // Three rows of images with the noise levels below them.
  expect(height).toBeGreaterThan(3 * 56);
});
