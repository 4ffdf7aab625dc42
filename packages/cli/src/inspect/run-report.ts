import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type DiscreteDiffusion, type RunKind, runTitle, type UNet2DConfig } from '@diffuse/core';
import type { OpenModel } from '../run/open-model.ts';
import { bytes, columns, grouped, scaled } from '../terminal/format.ts';
import { type ModelFacts, modelFacts, parametersByPart } from './model-facts.ts';
import { scheduleFacts, scheduleText } from './schedule-report.ts';

type Run = OpenModel<RunKind>;

/** A run whose model takes Gaussian noise away. */
type GaussianRun = OpenModel<'unet2d' | 'latent' | 'mlp' | 'unet1d' | 'video-unet'>;

/** How a run is looked at. */
export interface RunReportOptions {
  /** Its folder. */
  readonly directory: string;
  /** For memory and FLOPs of a step. */
  readonly batchSize: number;
  /** Columns of a curve. */
  readonly chartWidth: number;
}

/** What `inspect` says of a run, for machines and for people. */
export function runReport(
  run: Run,
  options: RunReportOptions,
): { readonly facts: Readonly<Record<string, unknown>>; readonly text: string } {
  const network = networkReport(run, options);
  const process = isGaussian(run)
    ? gaussianReport(run, options)
    : run.kind === 'token-unet'
      ? discreteReport(run.diffusion)
      : { facts: {}, paragraphs: [] };
  return {
    facts: { kind: run.kind, ...network.facts, ...process.facts },
    text: [...network.paragraphs, ...process.paragraphs].join('\n\n'),
  };
}

/** Facts by name, and the paragraphs that tell them. */
interface Report {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly paragraphs: readonly string[];
}

function isGaussian(run: Run): run is GaussianRun {
  return 'scheduler' in run;
}

function networkReport(run: Run, { directory }: RunReportOptions): Report {
  const { model, classNames } = run;
  const ema = ['unet_ema', 'model_ema', 'vae_ema', 'classifier_ema.safetensors'].some((name) =>
    existsSync(join(directory, name)),
  );
  const parts = parametersByPart(model);
  const parameters = sum(parts.values());
  const latent = run.kind === 'latent' ? run : undefined;
  const decoder = latent && { config: latent.autoencoder.config, scale: latent.scale };
  const facts = {
    shape: model.shape,
    classes: model.classes,
    classNames,
    parameters,
    parametersByPart: Object.fromEntries(parts),
    ema,
    config: model.config,
    ...(decoder && { autoencoder: decoder }),
  };
  const { shape } = latent?.autoencoder ?? model;
  const classes = model.classes === null ? 'no classes' : `${model.classes} classes`;
  const average = ema ? ', with an average of the weights' : '';
  const head = [
    `${directory}: ${runTitle(run.kind)} of ${shape.join(' x ')}, ${classes}`,
    `${grouped(parameters)} parameters (${bytes(parameters * 4)})${average}`,
    ...(latent ? [decoderLine(latent)] : []),
    ...(classNames ? [`classes: ${classNames.slice(0, 20).join(', ')}${classNames.length > 20 ? ', …' : ''}`] : []),
  ];
  const rows = [...parts].map(([name, count]) => [name, grouped(count).padStart(10)]);
  const structure = model.kind === 'unet2d' ? levelTable(model.config) : configTable(model.config);
  return { facts, paragraphs: [head.join('\n'), columns(structure), columns([['part', 'parameters'], ...rows])] };
}

function decoderLine({ autoencoder, scale }: OpenModel<'latent'>): string {
  const parameters = grouped(sum(parametersByPart(autoencoder).values()));
  const latents = autoencoder.latentShape.join(' x ');
  return `latents of ${latents}, scaled by ${scale.toPrecision(4)}; an autoencoder of ${parameters} parameters decodes them`;
}

function gaussianReport(run: GaussianRun, { batchSize, chartWidth }: RunReportOptions): Report {
  const { model, diffusion, device } = run;
  const { schedule, predict } = diffusion;
  // Images come as bytes; all other data, and latents, as numbers.
  const dataType = run.kind === 'unet2d' ? 'u8' : 'f32';
  const facts = modelFacts({ model, diffusion, device, batchSize, dataType });
  return {
    facts: {
      predict,
      schedule: { name: schedule.name, steps: schedule.steps, ...schedule.parameters },
      ...facts,
      ...scheduleFacts(schedule),
    },
    paragraphs: [scheduleText(schedule, predict, chartWidth), stepText(facts)],
  };
}

function discreteReport({ tokens, transition, steps, mask }: DiscreteDiffusion): Report {
  const lost = mask === null ? 'become any other' : 'are masked';
  return {
    facts: { tokens, transition, steps },
    paragraphs: [`${tokens} kinds of token, which ${lost} over ${steps} timesteps (${transition})`],
  };
}

/** Memory and FLOPs of a step. */
function stepText({ batchSize, precision, sampling, training }: ModelFacts): string {
  const table = columns([
    [`batch of ${batchSize}, ${precision}`, 'memory', 'FLOPs'],
    ['a sampling step', bytes(sampling.memoryBytes), scaled(sampling.flops.total)],
    ['a training step', bytes(training.memoryBytes), scaled(training.flops.total)],
  ]);
  const byKind = Object.entries(sampling.flops.byKind).map(([kind, count]) => `${kind} ${scaled(count)}`);
  return `${table}\nFLOPs of a forward pass: ${byKind.join(', ')}`;
}

/** One row an option. */
function configTable(config: object): string[][] {
  return Object.entries(config).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)]);
}

/** One row a level: size, channels and blocks on the way down and up. */
function levelTable(config: UNet2DConfig): string[][] {
  const { sampleSize, blockOutChannels, downBlockTypes, upBlockTypes, layersPerBlock } = config;
  const blocks = (type: string | undefined, layers: number): string =>
    `${layers} residual${type?.startsWith('Attn') ? ' + attention' : ''}`;
  const rows = blockOutChannels.map((channels, level) => [
    String(level),
    sampleSize.map((side) => side / 2 ** level).join(' x '),
    String(channels),
    blocks(downBlockTypes[level], layersPerBlock),
    blocks(upBlockTypes.at(-1 - level), layersPerBlock + 1),
  ]);
  const middle = config.midBlockType === null ? 'none' : `2 residual${config.addAttention ? ' + attention' : ''}`;
  const last = config.blockOutChannels.length - 1;
  const size = sampleSize.map((side) => side / 2 ** last).join(' x ');
  return [
    ['level', 'size', 'channels', 'down', 'up'],
    ...rows,
    ['middle', size, String(blockOutChannels[last]), middle, ''],
  ];
}

function sum(values: Iterable<number>): number {
  return [...values].reduce((total, value) => total + value, 0);
}
