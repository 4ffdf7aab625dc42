// Checks the objects that are compiled once per instruction set: every symbol that another object could be linked to lies in the
// namespace of its instruction set. A weak symbol outside, say an inline function of the standard library, exists once in the
// addon, perhaps in its AVX-512 version, and then crashes on an older CPU.
//
// usage: check-weak-symbols.mjs [BUILD FOLDER], by default build/
import { filesIn, finish, has, run } from './lib/project.mjs';

const folder =
  process.argv.slice(2).find((argument, i, all) => !argument.startsWith('-') && all[i - 1] !== '--root') ?? 'build';
if (!has('nm')) {
  console.log('nm was not found: weak symbols skipped (Debian, Ubuntu: apt-get install -y binutils)');
  process.exit(0);
}
const objects = filesIn(`${folder}/CMakeFiles`, /\.o$/).filter((file) => /\/kernels_\w+\.dir\//.test(file));
if (objects.length === 0) {
  console.error(`no objects of kernels in ${folder}/: build first (pnpm build:native)`);
  process.exit(1);
}

const problems = objects.flatMap((object) => {
  const [, isa] = /\/kernels_(\w+)\.dir\//.exec(object);
  const { status, stdout, output } = run('nm', ['--demangle', '--defined-only', '--extern-only', object]);
  if (status !== 0) return [`${object}: ${output.trim()}`];
  return stdout.split('\n').flatMap((line) => {
    const found = /^[0-9a-f]*\s+([A-Za-z])\s+(.*)$/.exec(line);
    if (!found || isInside(found[2], isa)) return [];
    return [`${object}: '${found[2]}' (${found[1]}) is not in the namespace diffuse::${isa}`];
  });
});

function isInside(symbol, isa) {
  // A pointer to the exception handler that compilers emit themselves; no code.
  if (symbol.startsWith('DW.ref.')) return true;
  // "guard variable for …", "vtable for …", and functions with their result: "void diffuse::avx2::f<…>(…)".
  return new RegExp(`(^|\\s)[*&]?diffuse::${isa}::`).test(symbol.split('(')[0].replace(/<.*$/, ''));
}

finish(problems, `the symbols of ${objects.length} objects in ${folder}/`);
