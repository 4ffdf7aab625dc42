import { precisions, samplers, spacings } from '@diffuse/core';
import type { Command } from '../command.ts';
import { chooseMetrics, type EvaluateFlags, evaluateSettings, metrics } from '../settings/evaluate-settings.ts';

/** What can stand in FILE.onnx.json, for `--help`. */
const onnxOptions = {
  input: { description: '[height, width, channels] that the network takes; images are resized to it' },
  layout: { description: '"nchw" (the default) or "nhwc"' },
  range: { description: 'what bytes 0 and 255 become, [0, 1] by default' },
  'mean, std': { description: 'subtracted from and divided by then, one number a channel' },
  features: { description: 'name of the output with the features; the first by default' },
  'logits, probabilities': { description: 'name of the output with those of the classes, for IS' },
} as const;

// Loaded when the command runs, so that --help stays quick.
const loadEvaluation = () => import('../evaluate/evaluation.ts');

/** `diffuse evaluate`. */
export const evaluateCommand: Command<EvaluateFlags> = {
  name: 'evaluate',
  summary: 'how good a model is, in figures',
  settings: evaluateSettings,
  sections: [
    ['Metrics:', metrics],
    ['Keys of FILE.onnx.json, which stands beside FILE.onnx:', onnxOptions],
    ['Samplers:', samplers],
    ['Spacings:', spacings],
    ['Number formats:', precisions],
  ],
  examples: [
    ['diffuse evaluate --model runs/digits --data digits/ --features runs/classifier', 'FID and the like'],
    ['diffuse evaluate --model runs/digits --data digits/', 'likelihood bound and loss by noise level'],
    ['diffuse evaluate --generated fakes/ --data photos/ --features inception.onnx', 'of any images'],
  ],
  async run(values, { report }) {
    const flags = values as EvaluateFlags;
    const chosen = chooseMetrics(flags);
    const { evaluate } = await loadEvaluation();
    await evaluate(flags, chosen, report);
  },
};
