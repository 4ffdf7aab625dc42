import { describe, expect, test } from 'vitest';
import { run } from './helpers.ts';

describe('help texts', () => {
  test.each([['diffuse'], ['train'], ['sample'], ['trajectory'], ['plot'], ['evaluate'], ['inspect'], ['doctor']])(
    '%s',
    async (name) => {
      const { code, stdout, stderr } = await run(...(name === 'diffuse' ? [] : [name]), '--help');
      expect(code).toBe(0);
      expect(stderr).toBe('');
      await expect(stdout).toMatchFileSnapshot(`help/${name}.txt`);
    },
  );

  test('no line is longer than the page', async () => {
    for (const name of ['train', 'sample', 'trajectory', 'plot', 'evaluate', 'inspect', 'doctor']) {
      const { stdout } = await run(name, '--help');
      const longest = Math.max(...stdout.split('\n').map((line) => line.length));
      expect(longest, name).toBeLessThanOrEqual(110);
    }
  });

  test('--version prints the version of the package', async () => {
    const { stdout, code } = await run('--version');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('a help text needs no native addon', async () => {
    process.env.DIFFUSE_NATIVE = '/nowhere/addon.node';
    try {
      expect((await run('train', '--help')).code).toBe(0);
      expect((await run('train', '--steps', 'x', '--out', 'run')).code).toBe(2);
    } finally {
      delete process.env.DIFFUSE_NATIVE;
    }
  });
});
