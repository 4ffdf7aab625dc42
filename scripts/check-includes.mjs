// Checks which file of native/ may include which (ARCHITECTURE.md, "Boundaries"):
//
// - each folder includes only the folders below it, by paths from native/;
// - ops and engine need the standard library only, and nothing but binding knows Node;
// - what is compiled once per instruction set, and every header that it includes, sees no header with inline functions: the linker
//   keeps one copy of such a function, and if that is the AVX-512 one an older CPU crashes.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesIn, finish, root } from './lib/project.mjs';

/** The project's own headers that the files of a folder may include. */
const allowedPaths = {
  engine: [/^engine\//, /^ops\/kernels\.def$/],
  ops: [/^ops\//, /^engine\/(tensor|kernel)\.h$/],
  cpu: [/^(cpu|engine|ops)\//],
  cuda: [/^(cuda|engine|ops)\//],
  binding: [/^(binding|cpu|cuda|engine|ops)\//],
  tests: [/^(tests|cpu|cuda|engine|ops)\//],
};

const standardLibrary = /^[a-z_]+$/;
const intrinsics = /^([a-z]+intrin|arm_neon)\.h$/;
/** The system headers, in <>, that the files of a folder may include. */
const allowedSystem = {
  engine: [standardLibrary, intrinsics],
  ops: [standardLibrary],
  cpu: [standardLibrary, intrinsics, /^(sched|unistd|pthread|sys\/[a-z]+)\.h$/, /^(stdio|math)\.h$/],
  cuda: [standardLibrary, /^(dlfcn|unistd|sys\/[a-z]+)\.h$/],
  binding: [standardLibrary, /^napi\.h$/],
  tests: [standardLibrary, /^(unistd|sys\/[a-z]+)\.h$/],
};

/** Compiled once per instruction set (CMakeLists.txt), and the system headers that are safe there. */
const perIsaFile = /^native\/cpu\/(ops\/.*\.cc|gemm\/.*|table\.cc)$/;
const perIsaSystem = /^(cstddef|cstdint|cstring|cmath|cfloat|stdio\.h|math\.h|[a-z]+intrin\.h|arm_neon\.h)$/;

const files = filesIn('native', /\.(h|cc|def)$/);
const includes = new Map(files.map((file) => [file, includesOf(file)]));

function includesOf(file) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  return lines.flatMap((line, i) => {
    const found = /^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)/.exec(line);
    return found ? [{ at: `${file}:${i + 1}`, own: found[1], system: found[2] }] : [];
  });
}

/** Each file that per-instruction-set files include, directly or not, with the chain of includes that leads to it. */
function perIsaClosure() {
  const chains = new Map(files.filter((file) => perIsaFile.test(file)).map((file) => [file, [file]]));
  for (const [file, chain] of chains) {
    for (const { own } of includes.get(file) ?? []) {
      const next = `native/${own}`;
      if (own && includes.has(next) && !chains.has(next)) chains.set(next, [...chain, next]);
    }
  }
  return chains;
}

function boundaryProblems(file) {
  const folder = file.split('/')[1] ?? '';
  if (!allowedPaths[folder])
    return [`${file}: the folder native/${folder} has no rule; add one to scripts/check-includes.mjs`];
  return (includes.get(file) ?? []).flatMap(({ at, own, system }) => {
    if (own !== undefined) {
      if (!existsSync(join(root, 'native', own))) return [`${at}: "${own}" is no path from native/`];
      return allowedPaths[folder].some((rule) => rule.test(own))
        ? []
        : [`${at}: native/${folder} must not include "${own}"`];
    }
    return allowedSystem[folder].some((rule) => rule.test(system))
      ? []
      : [`${at}: native/${folder} must not include <${system}>`];
  });
}

const problems = files.flatMap(boundaryProblems);
for (const [file, chain] of perIsaClosure()) {
  for (const { at, system } of includes.get(file) ?? []) {
    if (system === undefined || perIsaSystem.test(system)) continue;
    const through = chain.length > 1 ? ` (${chain.slice(0, -1).join(' includes ')} includes ${file})` : '';
    problems.push(`${at}: <${system}> may hold inline functions, and this is compiled per instruction set${through}`);
  }
}
finish(problems, `the includes of ${files.length} native files`);
