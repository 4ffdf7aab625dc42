// What the scripts share: where the project is, walking over its files, running commands, ending with a report.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The value of `--name VALUE` on the command line, or undefined. */
export function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

/** The project's root; `--root DIR` names another copy of it. */
export const root = resolve(option('root') ?? join(dirname(fileURLToPath(import.meta.url)), '../..'));

/** Files under a folder of the project whose names match, as sorted paths relative to the root with forward slashes. */
export function filesIn(folder, pattern) {
  const start = join(root, folder);
  if (!existsSync(start)) return [];
  return readdirSync(start, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) =>
      relative(root, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join('/'),
    )
    .filter((path) => !path.includes('node_modules/') && !path.includes('/dist/'))
    .sort();
}

/** Whether a command can be run. */
export const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Runs a command in the root; returns its exit code, or the signal that ended it, and what it printed. */
export function run(command, args, { env = {}, timeoutMs } = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
    timeout: timeoutMs,
  });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? `${result.error.message}\n` : ''}`;
  return { status: result.status ?? result.signal ?? 'not started', output, stdout: result.stdout ?? '' };
}

/** Prints the problems, or one line that says what was checked; exits with 1 if there are any. */
export function finish(problems, checked) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'} in ${checked}`);
    process.exit(1);
  }
  console.log(`no problem in ${checked}`);
}
