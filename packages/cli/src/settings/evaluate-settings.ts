import { type ImageMetric, imageMetrics } from '@diffuse/core';
import { usageError } from '../failure.ts';
import { checkGuidanceFlags, drawingNames } from './drawing-settings.ts';
import { integer, kebabCase, oneOf, type SettingTable, someOf, text } from './kinds.ts';
import { batchSizeSetting, type SamplerSettings, samplerSettings } from './sampler-settings.ts';

/** A figure that is computed from the network itself. */
export type LikelihoodMetric = 'bpd' | 'ode' | 'loss';

/** A figure of `evaluate`, by its name on the command line. */
export type MetricName = ImageMetric | LikelihoodMetric;

/** Every figure. */
export const metrics: Readonly<Record<MetricName, { readonly description: string }>> = {
  ...imageMetrics,
  bpd: { description: 'variational bound in bits per dimension, and its parts' },
  ode: { description: 'likelihood of the probability-flow ODE in bits per dimension' },
  loss: { description: 'loss by noise level, the least that any network could have on these images, and the gap' },
};

/** Whether a figure compares images and so needs `--features`. */
export function isImageMetric(name: MetricName): name is ImageMetric {
  return name in imageMetrics;
}

/** The flags of `evaluate`. */
export interface EvaluateFlags extends Omit<SamplerSettings, 'model'> {
  data: string;
  model?: string;
  metrics?: readonly MetricName[];
  features?: string;
  samples?: number;
  generated?: string;
  images?: number;
  timesteps?: number;
  floorImages?: number;
  labels?: string;
  classes?: 'none' | 'folders';
  cacheDir?: string;
  batchSize?: number;
}

const { model, ...sampling } = samplerSettings;
const evaluation = 'Evaluation:';
const dataGroup = 'Data:';

/** The flags of {@link EvaluateFlags}. */
export const evaluateSettings: SettingTable<EvaluateFlags> = {
  model: { kind: model.kind, description: model.description, group: evaluation },
  metrics: {
    kind: someOf(Object.keys(metrics) as MetricName[]),
    description: 'what to compute, with commas between them',
    group: evaluation,
    defaultText: 'fid,kid,is,pr with --features, else bpd,loss',
  },
  features: {
    kind: text('the folder of a classifier or an .onnx file'),
    description: 'the network in whose eyes images are compared: folder of a classifier, or FILE.onnx (see below)',
    group: evaluation,
  },
  samples: {
    // The fewest that have three neighbours each.
    kind: integer(4),
    description: 'images to draw from the model; published figures take 50000',
    group: evaluation,
    alias: 'n',
    defaultText: '10000',
  },
  generated: {
    kind: text('a folder of images'),
    description: 'compare these images instead of drawing some; needs no model',
    group: evaluation,
  },
  images: {
    kind: integer(1),
    description: 'real images to look at for bpd, ode and loss, chosen by the seed',
    group: evaluation,
    defaultText: '256; 32 for ode',
  },
  timesteps: {
    kind: integer(2),
    description: 'noise levels to look at for bpd and loss; the bound stays unbiased',
    group: evaluation,
    defaultText: '50; 20 for loss',
  },
  floorImages: {
    kind: integer(0),
    description: 'images that the floor of loss is computed from, at least --images; 0 computes none',
    group: evaluation,
    defaultText: 'all, up to 8 million values',
  },
  data: {
    kind: text('a folder of images or an IDX file'),
    description: 'the real images: a folder of images or an IDX file',
    group: dataGroup,
    required: true,
  },
  classes: {
    kind: oneOf(['none', 'folders']),
    description: 'classes of the real images, for models that are told them',
    group: dataGroup,
    defaultText: 'none',
  },
  labels: {
    kind: text('an idx1-ubyte file'),
    description: 'the same from the labels of an IDX file',
    group: dataGroup,
  },
  cacheDir: {
    kind: text('a folder'),
    description: 'where decoded images are cached',
    group: dataGroup,
    defaultText: '~/.cache/diffuse',
  },
  ...sampling,
  batchSize: batchSizeSetting,
};

/** The figures that the flags ask for, in two groups. */
export interface ChosenMetrics {
  /** Undefined: all that the feature network can give; empty: none. */
  readonly distances: readonly ImageMetric[] | undefined;
  readonly likelihoods: readonly LikelihoodMetric[];
}

/**
 * Chooses the figures and holds the flags against each other, before anything is opened.
 *
 * @throws Failure
 */
export function chooseMetrics(flags: EvaluateFlags): ChosenMetrics {
  const asked = flags.metrics;
  const distances = asked?.filter(isImageMetric) ?? (flags.features === undefined ? [] : undefined);
  const likelihoods =
    asked?.filter((name) => !isImageMetric(name)) ?? (distances === undefined ? [] : (['bpd', 'loss'] as const));
  const [distance] = distances ?? [];
  checkGuidanceFlags(flags);
  if (distance !== undefined && flags.features === undefined) {
    throw usageError(`--metrics ${distance} needs --features: ${evaluateSettings.features.kind.expected}`);
  }
  if (distances?.length === 0 && flags.features !== undefined) {
    throw usageError(`--features is for ${Object.keys(imageMetrics).join(', ')}, none of which --metrics asks for`);
  }
  if (flags.generated !== undefined && distances?.length === 0) {
    throw usageError('--generated brings images to compare; it needs --features');
  }
  const useless = (['samples', ...drawingNames] as const).find((name) => flags[name] !== undefined);
  if (useless !== undefined && flags.generated !== undefined) {
    throw usageError(`--${kebabCase(useless)} says how to draw images, but --generated brings them; leave one out`);
  }
  if (useless !== undefined && distances?.length === 0) {
    throw usageError(
      `--${kebabCase(useless)} says how to draw images, but --metrics ${likelihoods.join(',')} needs none; leave it out`,
    );
  }
  if (flags.model === undefined && (flags.generated === undefined || likelihoods.length > 0)) {
    const instead = likelihoods.length > 0 ? '' : '; or --generated, a folder of images to judge';
    throw usageError(`--model is missing: ${model.kind.expected}${instead}`);
  }
  return { distances, likelihoods };
}
