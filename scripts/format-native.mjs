// Checks that the C++ under native/ and cuda/ is formatted as .clang-format says; `--write` formats it.
// Where clang-format is not installed nothing is checked, which is said: the continuous integration installs it.
import { filesIn, finish, has, run } from './lib/project.mjs';

const files = ['native', 'cuda'].flatMap((folder) => filesIn(folder, /\.(h|cc|cu)$/));
if (!has('clang-format')) {
  console.log(
    'clang-format was not found: native formatting skipped (Debian, Ubuntu: apt-get install -y clang-format)',
  );
  process.exit(0);
}
if (process.argv.includes('--write')) {
  const { status, output } = run('clang-format', ['-i', ...files]);
  finish(status === 0 ? [] : [output.trim()], `${files.length} native files, formatted`);
} else {
  const { status, output } = run('clang-format', ['--dry-run', '-Werror', ...files]);
  // One line a file says enough: what to do about it is the same for all.
  const unformatted = [...new Set(output.match(/^(?:native|cuda)\/[^:]+(?=:\d+:\d+: error)/gm) ?? [])];
  const problems = unformatted.map((file) => `${file} is not formatted: pnpm format`);
  if (status !== 0 && problems.length === 0) problems.push(output.trim());
  finish(problems, `the formatting of ${files.length} native files`);
}
