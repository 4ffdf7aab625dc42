// Checks which TypeScript file may import which (ARCHITECTURE.md, "Boundaries"). Sources only: tests may import what they like.
//
// - packages: cli → data, core; bench → core, data, testkit; data → core; testkit → core; core → nothing but Node's own modules;
// - other packages are imported by name alone, and outside packages only where package.json lists them; sharp only in data,
//   yargs only in cli;
// - the compiled addon is touched by core/src/native alone, its bindings by core's native and graph;
// - inside core, folders build upon each other in a fixed order;
// - no import cycles between files, but for `import type`, which is gone at run time, and for ops whose gradients are each other.
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { filesIn, finish, root } from './lib/project.mjs';

/** Packages of the workspace that the sources of a package may import. */
const allowedPackages = {
  core: [],
  data: ['core'],
  testkit: ['core'],
  cli: ['core', 'data'],
  bench: ['core', 'data', 'testkit'],
};

/** Outside packages that belong to one package alone. */
const owners = { sharp: 'data', yargs: 'cli' };

/** Folders of core/src, lowest first. A file imports from its own folder and from lower lines; folders of one line are strangers. */
const coreLayers = [
  ['native'],
  ['config'],
  ['random'],
  ['graph'],
  ['schedules'],
  ['diffusion', 'models'],
  ['samplers', 'training'],
  ['discrete', 'latent'],
  ['checkpoint'],
  ['evaluation'],
  ['index.ts'],
];

const files = filesIn('packages', /\.ts$/).filter((file) => /^packages\/[^/]+\/src\//.test(file));
const problems = [];
const edges = new Map();

for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8');
  edges.set(file, []);
  const typesOnly = typeOnlyImports(file, text);
  for (const { fileName, pos } of ts.preProcessFile(text).importedFiles) {
    const at = `${file}:${text.slice(0, pos).split('\n').length}`;
    if (fileName.startsWith('.')) {
      checkRelative(at, file, fileName, typesOnly.has(fileName));
    } else {
      checkPackage(at, file.split('/')[1], fileName);
    }
  }
  checkAddon(file, text);
}

/** Paths that a file imports by `import type` or `export type` alone. */
function typeOnlyImports(file, text) {
  const types = new Set();
  const values = new Set();
  for (const statement of ts.createSourceFile(file, text, ts.ScriptTarget.Latest).statements) {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue;
    const isType = ts.isImportDeclaration(statement) ? statement.importClause?.isTypeOnly : statement.isTypeOnly;
    if (statement.moduleSpecifier) (isType ? types : values).add(statement.moduleSpecifier.text);
  }
  return new Set([...types].filter((specifier) => !values.has(specifier)));
}

function checkRelative(at, file, specifier, typesOnly) {
  const target = posix.join(posix.dirname(file), specifier);
  const [, name] = file.split('/');
  if (!target.startsWith(`packages/${name}/src/`)) {
    problems.push(`${at}: '${specifier}' leaves the sources of packages/${name}; import the package by its name`);
    return;
  }
  if (!existsSync(join(root, target))) problems.push(`${at}: '${specifier}' does not exist`);
  const adjoint = [file, target].every((path) => path.startsWith('packages/core/src/graph/ops/'));
  if (!typesOnly && !adjoint) edges.get(file).push({ at, target });
  if (name === 'core') checkCoreLayers(at, file, target);
  if (/\/src\/native\/(addon|bindings)\.ts$/.test(target) && !/\/src\/(native|graph)\//.test(file)) {
    problems.push(`${at}: only core/src/native and core/src/graph may know the addon's bindings`);
  }
}

function checkCoreLayers(at, file, target) {
  const [from, to] = [file, target].map((path) => path.split('/')[3]);
  if (from === to) return;
  const [low, high] = [to, from].map((folder) => coreLayers.findIndex((layer) => layer.includes(folder)));
  if (high < 0) {
    problems.push(
      `${at}: core/src/${from} has no place in the order of folders; give it one in scripts/check-imports.mjs`,
    );
  } else if (low < 0 || low >= high) {
    problems.push(`${at}: core/src/${from} must not import core/src/${to}, which is not below it`);
  }
}

function checkPackage(at, name, specifier) {
  if (specifier.startsWith('node:')) return;
  if (builtinModules.includes(specifier)) {
    problems.push(`${at}: write 'node:${specifier}'`);
    return;
  }
  const own = /^@diffuse\/([^/]+)(\/.*)?$/.exec(specifier);
  if (own) {
    if (!allowedPackages[name]?.includes(own[1]))
      problems.push(`${at}: packages/${name} must not import @diffuse/${own[1]}`);
    if (own[2]) problems.push(`${at}: import '@diffuse/${own[1]}', not a file inside it`);
    return;
  }
  const outside = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (name === 'core') {
    problems.push(`${at}: core must not import '${outside}': it depends on nothing but Node`);
  } else if (owners[outside] && owners[outside] !== name) {
    problems.push(`${at}: only packages/${owners[outside]} may import '${outside}'`);
  } else if (!dependencies(name)[outside]) {
    problems.push(`${at}: '${outside}' is not among the dependencies in packages/${name}/package.json`);
  }
}

function dependencies(name) {
  const manifest = JSON.parse(readFileSync(join(root, `packages/${name}/package.json`), 'utf8'));
  return { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies };
}

function checkAddon(file, text) {
  if (file.startsWith('packages/core/src/native/')) return;
  const found = /process\.dlopen|['"`/][\w.-]*\.node['"`]/.exec(text);
  if (found) {
    const line = text.slice(0, found.index).split('\n').length;
    problems.push(`${file}:${line}: only core/src/native may load the addon`);
  }
}

/** Reports each cycle once, from the file where the depth-first walk met it. */
function findCycles() {
  const state = new Map();
  const path = [];
  const visit = (file) => {
    state.set(file, 'open');
    path.push(file);
    for (const { at, target } of edges.get(file) ?? []) {
      if (state.get(target) === 'open') {
        const cycle = [...path.slice(path.indexOf(target)), target];
        problems.push(`${at}: import cycle: ${cycle.map((name) => name.replace(/^packages\//, '')).join(' → ')}`);
      } else if (!state.has(target)) {
        visit(target);
      }
    }
    path.pop();
    state.set(file, 'done');
  };
  for (const file of files) if (!state.has(file)) visit(file);
}

findCycles();
finish(problems, `the imports of ${files.length} TypeScript files`);
