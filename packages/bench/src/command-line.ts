import { writeFile } from 'node:fs/promises';
import { DiffuseError } from '@diffuse/core';
import { type BenchRequest, helpText, parseBenchArguments, type RunRequest } from './arguments.ts';
import { runBench } from './bench.ts';
import { comparisonText } from './compare.ts';
import { type BenchConfig, selectConfigs } from './configs.ts';
import { profileText } from './profile.ts';
import { reportText } from './report.ts';
import { readResult } from './result.ts';
import { rooflineText } from './roofline/roofline-text.ts';

/** Where a command line tool writes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

/** `pnpm bench`: returns the exit code, 0 done, 1 something could not be measured, 2 wrong usage or a bad file. */
export async function benchCommand(args: readonly string[], output: Output): Promise<number> {
  try {
    return await perform(parseBenchArguments(args), output);
  } catch (error) {
    output.error(`bench: ${(error as Error).message}`);
    const wrongUse = error instanceof DiffuseError && ['ERR_ARGUMENT', 'ERR_DATA'].includes(error.code);
    return wrongUse ? 2 : 1;
  }
}

async function perform(request: BenchRequest, output: Output): Promise<number> {
  switch (request.command) {
    case 'help':
      output.out(helpText());
      return 0;
    case 'compare':
      output.out(comparisonText(await readResult(request.before), await readResult(request.after)));
      return 0;
    case 'profile':
    case 'roofline': {
      const { device: kind, threads, isa, precision, tf32 } = request;
      const device = { kind, threads, precision, tf32, ...(isa !== undefined && { isa }) };
      const text = (config: BenchConfig): Promise<string> =>
        request.command === 'profile' ? profileText(config, device, request.explain) : rooflineText(config, device);
      for (const config of selectConfigs(request.configs)) output.out(await text(config));
      return 0;
    }
    case 'run':
      return measure(request, output);
  }
}

async function measure(request: RunRequest, output: Output): Promise<number> {
  // A file that cannot be written shall not be found out after half an hour.
  if (request.json !== undefined) await writeResult(request.json, '');
  const { result, complete } = await runBench(request, { log: output.error });
  output.out(reportText(result));
  if (request.json !== undefined) await writeResult(request.json, `${JSON.stringify(result, undefined, 2)}\n`);
  return complete ? 0 : 1;
}

async function writeResult(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: text === '' ? 'a' : 'w' });
  } catch (error) {
    throw new DiffuseError('ERR_ARGUMENT', `--json: cannot write ${path}: ${(error as Error).message}`);
  }
}
