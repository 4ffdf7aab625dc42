import { benchCommand } from './command-line.ts';

process.exitCode = await benchCommand(process.argv.slice(2), {
  out: (text) => process.stdout.write(`${text}\n`),
  error: (text) => process.stderr.write(`${text}\n`),
});
