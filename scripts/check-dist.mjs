// Checks what `tsc -b` wrote: no import of a .ts file may be left in it, since Node could not load it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { finish, root } from './lib/project.mjs';

const files = readdirSync(join(root, 'packages'))
  .flatMap((name) =>
    readdirSync(join(root, 'packages', name, 'dist'), { recursive: true }).map((file) =>
      join('packages', name, 'dist', file),
    ),
  )
  .filter((file) => file.endsWith('.js'));
const problems = files.flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from |import\()\s*'(\.[^']*\.ts)'/g)].map(
    ([, path]) => `${file}: imports '${path}'`,
  ),
);
finish(problems, `the imports of ${files.length} built files`);
