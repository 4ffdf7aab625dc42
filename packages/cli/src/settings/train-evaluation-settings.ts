import { type ImageMetric, imageMetrics } from '@diffuse/core';
import { usageError } from '../failure.ts';
import { integer, kebabCase, type SettingTable, someOf, text } from './kinds.ts';

/** A figure that is measured while training. */
export type TrainMetric = ImageMetric | 'loss' | 'bpd' | 'accuracy';

/** Every {@link TrainMetric}. */
export const trainMetrics: Readonly<Record<TrainMetric, { readonly description: string }>> = {
  loss: { description: 'training loss of the averaged weights, the same images and noise every time' },
  bpd: { description: 'variational bound in bits per dimension' },
  ...imageMetrics,
  accuracy: { description: 'share of the images that a classifier gets right' },
};

/** The settings of evaluations while a model is trained. None of them changes a bit of the training. */
export interface TrainEvaluationSettings {
  /** Steps between evaluations; 0: there are none. */
  evalEvery: number;
  evalMetrics?: readonly TrainMetric[];
  evalData?: string;
  evalLabels?: string;
  evalImages?: number;
  evalFeatures?: string;
  evalSamples?: number;
}

const evaluation = 'Evaluation while training:';

/** Images that are looked at for `loss` and `bpd`, and images that are drawn, unless flags say otherwise. */
export const evaluationDefaults = { images: 256, samples: 1000 } as const;

/** The flags of {@link TrainEvaluationSettings}. */
export const trainEvaluationSettings: SettingTable<TrainEvaluationSettings> = {
  evalEvery: {
    kind: integer(0),
    description: 'steps between evaluations, which go on beside the training; 0: none',
    group: evaluation,
  },
  evalMetrics: {
    kind: someOf(Object.keys(trainMetrics) as TrainMetric[]),
    description: 'what to measure, with commas between them',
    group: evaluation,
    defaultText: 'loss, and fid with --eval-features; accuracy of a classifier',
  },
  evalData: {
    kind: text('a folder of images or an IDX file'),
    description: 'images to judge by, best ones that are not trained on; classes as those of --data',
    group: evaluation,
    defaultText: '--data',
  },
  evalLabels: { kind: text('an IDX file'), description: 'their labels, if they are an IDX file', group: evaluation },
  evalImages: {
    kind: integer(1),
    description: 'how many of them to look at for loss and bpd',
    group: evaluation,
    defaultText: String(evaluationDefaults.images),
  },
  evalFeatures: {
    kind: text('the folder of a classifier or an .onnx file'),
    description: 'the network in whose eyes images are compared, as --features of evaluate',
    group: evaluation,
  },
  evalSamples: {
    kind: integer(4),
    description: 'images to draw for fid, kid, is and pr',
    group: evaluation,
    defaultText: String(evaluationDefaults.samples),
  },
};

/**
 * Which figures are measured: those asked for, or those that cost little.
 *
 * @throws Failure for flags that do not go together.
 */
export function chooseTrainMetrics(
  settings: TrainEvaluationSettings & { readonly task: 'diffusion' | 'classifier' },
): readonly TrainMetric[] {
  const { task, evalEvery, evalFeatures, evalMetrics, evalData, evalLabels } = settings;
  if (evalEvery === 0) {
    const names = Object.keys(trainEvaluationSettings) as (keyof TrainEvaluationSettings)[];
    const useless = names.find((name) => name !== 'evalEvery' && settings[name] !== undefined);
    if (useless === undefined) return [];
    throw usageError(`--${kebabCase(useless)} needs --eval-every N, the steps between evaluations`);
  }
  if (evalLabels !== undefined && evalData === undefined) {
    throw usageError('--eval-labels are those of --eval-data, which is missing');
  }
  const usual: readonly TrainMetric[] = evalFeatures === undefined ? ['loss'] : ['loss', 'fid'];
  const chosen = evalMetrics ?? (task === 'classifier' ? ['accuracy'] : usual);
  const misfit = chosen.find((name) => (name === 'accuracy') !== (task === 'classifier'));
  if (misfit !== undefined) {
    throw usageError(`--eval-metrics ${misfit} is not for --task ${task}`);
  }
  const compares = chosen.find(isImageMetric);
  if (compares !== undefined && evalFeatures === undefined) {
    throw usageError(
      `--eval-metrics ${compares} needs --eval-features: ${trainEvaluationSettings.evalFeatures.kind.expected}`,
    );
  }
  if (compares === undefined && evalFeatures !== undefined) {
    throw usageError(`--eval-features is for ${Object.keys(imageMetrics).join(', ')}, none of which is measured`);
  }
  return chosen;
}

/** Whether a figure compares images. */
export function isImageMetric(name: TrainMetric): name is ImageMetric {
  return name in imageMetrics;
}
