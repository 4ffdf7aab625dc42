import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Autoguidance,
  type ClassifierGuidance,
  classifierSlope,
  type Diffusion,
  type SampleOptions,
} from '@diffuse/core';
import { usageError } from '../failure.ts';
import type { DrawingSettings } from '../settings/drawing-settings.ts';
import { labelsFrom } from '../settings/sampler-settings.ts';
import { loadBeside, type OpenModel } from './open-model.ts';

/** The flags that say what images are drawn of and what leads there. */
export type GuidanceFlags = Pick<DrawingSettings, 'class' | 'guidance' | 'guide' | 'classifier' | 'classifierScale'> & {
  readonly ema?: boolean | undefined;
};

/** What `sample` of the library is told of classes. */
export type OpenGuidance = Pick<SampleOptions, 'labels' | 'guidance'>;

/**
 * Opens what guides and names the class of each image. What does not fit the model is refused here, before anything is drawn.
 *
 * @param opened the model that is guided; a second network comes onto its device.
 * @throws Failure naming the flag; DiffuseError `ERR_OUT_OF_MEMORY`.
 */
export async function openGuidance(flags: GuidanceFlags, opened: OpenModel, count: number): Promise<OpenGuidance> {
  const { model, classNames } = opened;
  if (flags.classifier !== undefined) return byClassifier({ ...flags, classifier: flags.classifier }, opened, count);
  const labels = labelsFrom(flags.class, count, { classes: model.classes, classNames });
  if (flags.guide !== undefined) return { labels, guidance: await byGuide({ ...flags, guide: flags.guide }, opened) };
  checkWeight(flags.guidance, model);
  return { labels, guidance: flags.guidance };
}

/** @throws Failure for a weight of a class that the model does not know how to leave out. */
export function checkWeight(guidance: number | undefined, { nullClass }: OpenModel['model']): void {
  if (guidance === undefined || guidance === 1 || nullClass !== null) return;
  throw usageError(
    '--guidance needs a model that was trained with --drop-class, to say what it draws without a class; ' +
      'or --guide, a weaker model',
  );
}

async function byGuide(
  { guide: directory, guidance: weight = 1, ema }: GuidanceFlags & { readonly guide: string },
  { model, diffusion, device }: OpenModel,
): Promise<Autoguidance> {
  const flag = '--guide';
  const guide = await loadBeside(directory, { flag, kind: 'unet2d', device, ema });
  checkShape(flag, directory, guide.model.shape, model.shape);
  if (guide.diffusion.predict !== diffusion.predict) {
    const { predict } = guide.diffusion;
    throw usageError(`${flag}: ${directory} predicts ${predict}; the model predicts ${diffusion.predict}`);
  }
  checkLevels(flag, directory, guide.diffusion, diffusion);
  const { classes } = guide.model;
  if (classes !== null && classes !== model.classes) {
    throw usageError(`${flag}: ${directory} is told ${classes} classes; the model ${model.classes ?? 'none'}`);
  }
  return { kind: 'autoguidance', weight, model: guide.model };
}

async function byClassifier(
  {
    classifier: directory,
    classifierScale: scale = 1,
    class: wanted,
    ema,
  }: GuidanceFlags & { readonly classifier: string },
  { model, diffusion, classNames, device }: OpenModel,
  count: number,
): Promise<OpenGuidance> {
  const flag = '--classifier';
  const judge = await loadBeside(directory, { flag, kind: 'classifier', device, ema });
  const network = judge.model;
  if (!network.config.timeConditioned) {
    throw usageError(`${flag}: ${directory} has never seen noise; train it with --task classifier --noisy`);
  }
  checkShape(flag, directory, network.shape, model.shape);
  const theirs = judge.classNames?.join(', ');
  if (model.classes !== null && model.classes !== network.classes) {
    throw usageError(`${flag}: ${directory} knows ${network.classes} classes; the model is told ${model.classes}`);
  }
  if (model.classes !== null && classNames && theirs !== undefined && theirs !== classNames.join(', ')) {
    throw usageError(`${flag}: ${directory} knows the classes ${theirs}; the model ${classNames.join(', ')}`);
  }
  const levels = await trainedLevels(directory);
  if (levels) checkLevels(flag, directory, levels, diffusion);
  const towards = labelsFrom(wanted, count, { classes: network.classes, classNames: judge.classNames });
  const guidance: ClassifierGuidance = {
    kind: 'classifier',
    scale,
    network,
    labels: towards,
    slope: classifierSlope(network),
  };
  return { labels: model.classes === null ? undefined : towards, guidance };
}

/** The noise levels that a classifier of ours was trained at; undefined where its folder does not say. */
async function trainedLevels(directory: string): Promise<Diffusion | undefined> {
  const path = join(directory, 'config.yaml');
  if (!existsSync(path)) return undefined;
  // The YAML library behind it would keep all other ways to sample waiting.
  const { readConfig } = await import('../settings/config-file.ts');
  const { resolveSettings } = await import('../settings/resolve.ts');
  const { buildDiffusion } = await import('./build-diffusion.ts');
  return buildDiffusion(resolveSettings({ settings: {} }, await readConfig(path)).settings);
}

function checkShape(flag: string, directory: string, theirs: readonly number[], ours: readonly number[]): void {
  if (theirs.join() === ours.join()) return;
  throw usageError(`${flag}: ${directory} is for images of ${theirs.join(' x ')}; the model draws ${ours.join(' x ')}`);
}

/** Both networks must mean the same by a timestep. */
function checkLevels(flag: string, directory: string, theirs: Diffusion, ours: Diffusion): void {
  // Betas that went through a file may differ in their last digits.
  const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b));
  const same = (t: number): boolean =>
    near(theirs.alphaBarAt(t), ours.alphaBarAt(t)) && near(theirs.told(t), ours.told(t));
  if (theirs.steps === ours.steps && Array.from({ length: ours.steps }, (_, t) => t).every(same)) return;
  throw usageError(
    `${flag}: ${directory} was trained at other noise levels than the model; ` +
      'give both the same --schedule, --schedule-options, --timesteps and --predict',
  );
}
