import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDevice } from '@diffuse/core';
import { openImages } from '@diffuse/data';
import { mnistFile } from '@diffuse/testkit';
import { askedBounds } from '../asked.ts';
import { modeLoss } from '../convergence/convergence.ts';
import { type Mode, modes, reference } from '../convergence/modes.ts';
import { convergencePicture } from '../convergence/picture.ts';
import { convergenceRecord, withTable } from '../convergence/record.ts';
import { RunStore, type TrainedRun } from '../convergence/run-store.ts';
import { trainRun } from '../convergence/train-run.ts';
import { describeMachine } from '../machine.ts';
import { currentCommit, repositoryRoot } from '../repository.ts';
import type { CaseResult, Figure } from '../result.ts';
import { timing } from '../statistics.ts';
import type { BenchContext, Suite } from './suite.ts';

/** How much is trained, and what is looked at. */
interface Extent {
  readonly seeds: readonly number[];
  readonly steps: number;
  /** The last steps, whose losses are averaged. */
  readonly averaged: number;
  /** Steps over which the curves are averaged. */
  readonly window: number;
}

const whole: Extent = { seeds: [0, 1, 2], steps: 2000, averaged: 200, window: 100 };
const short: Extent = { seeds: [0], steps: 100, averaged: 20, window: 10 };

/**
 * Whether models learn as much in every number format. Runs with the same seed have the same images, noise and first weights, so that
 * only the arithmetic differs. A run is kept when it is done: what was interrupted goes on with the runs that are missing, and once all
 * are there, the result is written to `docs` (of a short trial to `runs`) and they are forgotten.
 */
export const convergenceSuite: Suite = {
  name: 'convergence',
  cpuOnly: true,
  description: 'training on MNIST in every number format, whatever --precision says: loss at the end (an hour)',
  byNameOnly: true,
  cases(context) {
    const runs = openRuns(context);
    return modes.map((mode) => ({ name: mode.name, measure: () => measureMode(context, mode, runs) }));
  },
};

/** Where runs are kept, and where the result goes. */
interface Places {
  readonly kept: string;
  readonly json: string;
  readonly picture: string;
  /** The page that shows the table; undefined for none. */
  readonly page: string | undefined;
}

function placesOf(quick: boolean): Places {
  const at = (...path: readonly string[]): string => join(repositoryRoot, ...path);
  if (quick) {
    const folder = at('runs', 'convergence-quick');
    const [json, picture] = [join(folder, 'convergence.json'), join(folder, 'convergence.svg')];
    return { kept: join(folder, 'runs'), json, picture, page: undefined };
  }
  return {
    kept: at('runs', 'convergence'),
    json: at('docs', 'bench', 'convergence.json'),
    picture: at('docs', 'images', 'convergence.svg'),
    page: at('docs', 'performance.md'),
  };
}

/** The runs of one call of the benchmark. */
interface Runs {
  /** The runs of a mode, one for each seed; those that are not there yet are trained. */
  of(mode: Mode): Promise<readonly TrainedRun[]>;
  /** All that are there. */
  all(): readonly TrainedRun[];
  forget(): Promise<void>;
}

function openRuns({ device: options, quick }: BenchContext): Runs {
  const { seeds, steps } = quick ? short : whole;
  const store = new RunStore(placesOf(quick).kept);
  const known = new Map<Mode, Promise<readonly TrainedRun[]>>();
  const done: TrainedRun[] = [];
  const runMode = async (mode: Mode): Promise<readonly TrainedRun[]> => {
    const { precision, convolution } = mode;
    using device = await openDevice('cpu', { ...options, precision, convolution });
    using data = await openImages(await mnistFile('train-images-idx3-ubyte'));
    const runs: TrainedRun[] = [];
    for (const seed of seeds) {
      const run = await trainRun({ device, data, mode, seed, steps }, await store.find(mode.key, seed));
      await store.keep(run);
      runs.push(run);
    }
    done.push(...runs);
    return runs;
  };
  return {
    of(mode) {
      const runs = known.get(mode) ?? runMode(mode);
      known.set(mode, runs);
      return runs;
    },
    all: () => done,
    forget: () => store.clear(),
  };
}

async function measureMode(context: BenchContext, mode: Mode, runs: Runs): Promise<CaseResult> {
  const { quick } = context;
  const { averaged } = quick ? short : whole;
  await runs.of(reference);
  const own = await runs.of(mode);
  const { loss, difference } = modeLoss(mode, runs.all(), averaged);
  if (new Set(runs.all().map((run) => run.mode)).size === modes.length) await writeResult(context, runs);
  const limit = quick ? {} : { limit: askedBounds.convergence.atMost };
  const figure: Figure =
    mode === reference
      ? { name: 'loss', value: loss, better: 'lower' }
      : { name: `loss off ${reference.name}`, value: Math.abs(difference), better: 'lower', ...limit };
  const ours = { ...timing(own.map(({ ms }) => ms)), peakBytes: Math.max(...own.map(({ peakBytes }) => peakBytes)) };
  return { ...{ suite: 'convergence', name: mode.name, precision: mode.precision, ours, figure } };
}

/** Writes the record, the picture and, if there is one, the table of the page. */
async function writeResult({ device, quick }: BenchContext, runs: Runs): Promise<void> {
  const { steps, averaged, window } = quick ? short : whole;
  const { json, picture, page } = placesOf(quick);
  const record = convergenceRecord(
    {
      machine: await describeMachine(device),
      ...{ commit: await currentCommit(), date: new Date().toISOString(), steps, averaged },
      limit: askedBounds.convergence.atMost,
    },
    runs.all(),
  );
  await mkdir(join(json, '..'), { recursive: true });
  await writeFile(json, `${JSON.stringify(record)}\n`);
  await writeFile(picture, convergencePicture(record.runs, window));
  if (page !== undefined) await writeFile(page, withTable(await readFile(page, 'utf8'), record));
  await runs.forget();
}
