// Checks that everything that a package exports (what is reachable from packages/*/src/index.ts) has a TSDoc comment.
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { finish, root } from './lib/project.mjs';

const entries = readdirSync(join(root, 'packages'))
  .map((name) => join(root, 'packages', name, 'src/index.ts'))
  .filter((path) => existsSync(path));

const config = ts.readConfigFile(join(root, 'tsconfig.base.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
const program = ts.createProgram(entries, { ...options, noEmit: true, composite: false, declaration: false });
const checker = program.getTypeChecker();
const problems = [];
let count = 0;

for (const entry of entries) {
  const file = program.getSourceFile(entry);
  const symbol = file && checker.getSymbolAtLocation(file);
  if (!symbol) {
    problems.push(`${relative(root, entry)} exports nothing`);
    continue;
  }
  for (const exported of checker.getExportsOfModule(symbol)) check(entry, exported);
}

function check(entry, exported) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const declaration = symbol.declarations?.[0];
  count++;
  if (!declaration) {
    problems.push(`${relative(root, entry)}: '${exported.name}' is exported but was not found`);
    return;
  }
  const source = declaration.getSourceFile();
  // What comes from outside the workspace is documented there.
  if (source.fileName.includes('/node_modules/')) return;
  if (ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim() !== '') return;
  const { line } = source.getLineAndCharacterOfPosition(declaration.getStart());
  problems.push(
    `${relative(root, source.fileName)}:${line + 1}: '${exported.name}' is exported and has no TSDoc comment`,
  );
}

finish([...new Set(problems)], `the ${count} exports of ${entries.length} packages`);
