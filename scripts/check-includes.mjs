// Checks which file of native/ and cuda/ may include which (ARCHITECTURE.md, "Boundaries"):
//
// - each folder includes only the folders below it, by paths from native/ (device code also by paths from cuda/,
//   the simulator by paths from its own folder);
// - ops and engine need the standard library only (engine reads files by the system's call), and nothing but binding knows Node;
// - device code and the host's side of it share the structs of arguments alone; the simulator knows nothing of either;
// - what is compiled once per instruction set, and every header that it includes, sees no header with inline functions: the linker
//   keeps one copy of such a function, and if that is the AVX-512 one an older CPU crashes.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesIn, finish, root } from './lib/project.mjs';

/** The project's own headers that the files of a folder may include; of two folders that hold a file the longer name counts. */
const allowedPaths = {
  'native/engine': [/^engine\//, /^ops\/kernels\.def$/],
  'native/ops': [/^ops\//, /^engine\/(tensor|kernel)\.h$/],
  'native/cpu': [/^(cpu|engine|ops)\//],
  'native/cuda': [/^(cuda|engine|ops)\//],
  'native/cuda/arguments': [/^cuda\/arguments\//],
  'native/binding': [/^(binding|cpu|cuda|engine|ops)\//],
  'native/tests': [/^(tests|cpu|cuda|engine|ops)\//],
  'cuda/common': [/^common\//, /^cuda\/arguments\//],
  'cuda/attention': [/^(attention|common|gemm)\//, /^cuda\/arguments\//],
  'cuda/gemm': [/^(common|gemm)\//, /^cuda\/arguments\//],
  'cuda/checks': [/^cuda\/driver_api\.h$/],
  'cuda/ops': [/^(attention|common|gemm|ops)\//, /^cuda\/arguments\//],
  'cuda/simulator': [/^(machine|memory|ptx|report|tests)\//],
  'cuda/simulator/profiles': [/^profiles\//],
  'cuda/simulator/driver': [/^(driver|machine|memory|profiles|ptx|report)\//],
  'cuda/simulator/witnesses': [/^witnesses\//, /^driver\/control\.h$/],
};

const standardLibrary = /^[a-z_]+$/;
const intrinsics = /^([a-z]+intrin|arm_neon)\.h$/;
/** The system headers, in <>, that the files of a folder may include. */
const allowedSystem = {
  'native/engine': [standardLibrary, intrinsics, /^unistd\.h$/],
  'native/ops': [standardLibrary],
  'native/cpu': [standardLibrary, intrinsics, /^(sched|unistd|pthread|sys\/[a-z]+)\.h$/, /^(stdio|math)\.h$/],
  'native/cuda': [standardLibrary, /^(dlfcn|unistd|windows|sys\/[a-z]+)\.h$/],
  'native/cuda/arguments': [standardLibrary],
  'native/binding': [standardLibrary, /^napi\.h$/],
  'native/tests': [standardLibrary, /^(unistd|sys\/[a-z]+)\.h$/],
  'cuda/common': [standardLibrary, /^cuda_bf16\.h$/],
  'cuda/attention': [standardLibrary, /^cuda_bf16\.h$/],
  'cuda/gemm': [standardLibrary, /^cuda_bf16\.h$/],
  'cuda/checks': [standardLibrary, /^cuda\.h$/],
  'cuda/ops': [standardLibrary, /^cuda_bf16\.h$/],
  'cuda/simulator': [standardLibrary, /^(dlfcn|unistd|sys\/[a-z]+)\.h$/],
  'cuda/simulator/profiles': [standardLibrary],
  'cuda/simulator/driver': [standardLibrary, /^cuda\.h$/],
  'cuda/simulator/witnesses': [standardLibrary, /^cuda\.h$/],
};

/** Compiled once per instruction set (CMakeLists.txt), and the system headers that are safe there. */
const perIsaFile = /^native\/cpu\/(ops\/.*\.cc|gemm\/.*|table\.cc)$/;
const perIsaSystem = /^(cstddef|cstdint|cstring|cmath|cfloat|stdio\.h|math\.h|[a-z]+intrin\.h|arm_neon\.h)$/;

/** Headers that stand for those of other libraries, and are found and named as they are. */
const standIns = 'cuda/simulator/witnesses/stubs/';

const files = ['native', 'cuda']
  .flatMap((folder) => filesIn(folder, /\.(h|cc|cu|def)$/))
  .filter((file) => !file.startsWith(standIns));
const folders = Object.keys(allowedPaths).sort((a, b) => b.length - a.length);
/** Where paths of includes begin. */
const starts = (file) => {
  if (file.startsWith('cuda/simulator/')) return ['cuda/simulator'];
  return file.startsWith('cuda/') ? ['native', 'cuda'] : ['native'];
};
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
  const folder = folders.find((name) => file.startsWith(`${name}/`));
  if (folder === undefined) return [`${file}: its folder has no rule; add one to scripts/check-includes.mjs`];
  return (includes.get(file) ?? []).flatMap(({ at, own, system }) => {
    if (own !== undefined) {
      if (!starts(file).some((start) => existsSync(join(root, start, own)))) {
        return [`${at}: "${own}" is no path from ${starts(file).join('/ or ')}/`];
      }
      return allowedPaths[folder].some((rule) => rule.test(own)) ? [] : [`${at}: ${folder} must not include "${own}"`];
    }
    return allowedSystem[folder].some((rule) => rule.test(system))
      ? []
      : [`${at}: ${folder} must not include <${system}>`];
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
finish(problems, `the includes of ${files.length} files of native and cuda`);
