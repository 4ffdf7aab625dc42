import { boolean, integer, listOf, nullable, number, type Rule } from '../config/value-rules.ts';
import { type TokenModel, tokenUNet } from '../discrete/token-unet.ts';
import { type Autoencoder, autoencoder } from '../models/autoencoder.ts';
import { type Classifier, classifier } from '../models/classifier.ts';
import { type Mlp, mlp } from '../models/mlp.ts';
import type { Network } from '../models/model.ts';
import { type UNet1D, unet1d } from '../models/unet1d.ts';
import { UNet2D } from '../models/unet2d.ts';
import { configFromDiffusers, configToDiffusers } from '../models/unet2d-config.ts';
import { type VideoUNet, videoUNet } from '../models/video-unet.ts';
import { type ConfigRules, configFromJson, configToJson, madeFrom } from './model-config.ts';

/** The models that can be saved, by the name of their kind. */
export interface SavedModels {
  readonly unet2d: UNet2D;
  readonly mlp: Mlp;
  readonly unet1d: UNet1D;
  readonly 'video-unet': VideoUNet;
  readonly 'token-unet': TokenModel;
  readonly classifier: Classifier;
  readonly autoencoder: Autoencoder;
}

/** Name of a kind of model. */
export type ModelKind = keyof SavedModels;

/** A model of one of the kinds that can be saved. */
export type SavedModel = SavedModels[ModelKind];

/** How a kind of model is written to a folder, and made again of what stands there. */
export interface ModelFormat<M extends Network & { readonly config: object }> {
  /** What it is, for people, to follow "holds". */
  readonly title: string;
  /** `_class_name` of its configuration. */
  readonly className: string;
  /** The library that has this class, for `model_index.json`. */
  readonly library: 'diffusers' | 'diffuse';
  /** Folder of its configuration and weights inside that of the run; averaged weights lie in `<folder>_ema`. */
  readonly folder: 'unet' | 'vae' | 'model';
  /** The file of its weights. */
  readonly weightsName: string;
  /** The names of weights and average in early runs, which have them and `config.json` in the folder of the run itself. */
  readonly earlyWeights?: { readonly weights: string; readonly average: string };
  /** What lies in `scheduler/` beside it: the process that it was trained to reverse. */
  readonly scheduler: 'gaussian' | 'discrete' | null;
  /** The content of `config.json`. @throws DiffuseError `ERR_ARGUMENT` for what {@link fromJson} would refuse. */
  toJson(config: M['config']): Record<string, unknown>;
  /** @throws DiffuseError `ERR_CHECKPOINT` naming `source`, the key, what came and what would be right. */
  fromJson(json: unknown, source: string): M;
}

/** A kind of diffuse's own: checked by a rule a field, then by the function that makes the model. */
function ownFormat<M extends Network & { readonly config: object }>({
  rules,
  create,
  ...names
}: Pick<ModelFormat<M>, 'title' | 'className' | 'folder' | 'earlyWeights' | 'scheduler'> & {
  readonly rules: ConfigRules<M['config']>;
  readonly create: (config: M['config']) => M;
}): ModelFormat<M> {
  const { className } = names;
  return {
    ...names,
    library: 'diffuse',
    weightsName: 'model.safetensors',
    toJson: (config) => configToJson(className, rules, config),
    fromJson: (json, source) => madeFrom(source, () => create(configFromJson(className, rules, json, source))),
  };
}

/** Far above any use, and low enough that no list of layers is endless and no product of sizes leaves the safe integers. */
const size: Rule<number> = integer(1, 2 ** 20);
const layers: Rule<number> = integer(1, 256);
const channels: Rule<readonly number[]> = listOf(size, 1, 16);
const dropout: Rule<number> = number('a number from 0 to below 1', (value) => value >= 0 && value < 1);
const later = { ...boolean, absent: false };
const told = { classes: nullable(size), nullClass: boolean, learnedVariance: later, selfConditioning: later };

/** Sizes of a sample. */
function shapeOf<S extends readonly number[]>(rank: S['length'] & number): Rule<S> {
  return listOf(size, rank, rank) as Rule<readonly number[]> as Rule<S>;
}

/** Every kind of model that can be saved. A new kind is an entry here and one in {@link SavedModels}. */
export const modelFormats: { readonly [K in ModelKind]: ModelFormat<SavedModels[K]> } = {
  unet2d: {
    title: 'a U-Net for images',
    className: 'UNet2DModel',
    library: 'diffusers',
    folder: 'unet',
    weightsName: 'diffusion_pytorch_model.safetensors',
    scheduler: 'gaussian',
    toJson: configToDiffusers,
    fromJson: (json, source) => madeFrom(source, () => UNet2D.fromConfig(configFromDiffusers(json, source))),
  },
  mlp: ownFormat({
    title: 'a network for points',
    className: 'DiffuseMlp',
    folder: 'model',
    scheduler: 'gaussian',
    rules: { shape: shapeOf(1), width: size, layers, ...told },
    create: mlp,
  }),
  unet1d: ownFormat({
    title: 'a U-Net for signals',
    className: 'DiffuseUNet1D',
    folder: 'model',
    scheduler: 'gaussian',
    rules: { shape: shapeOf(2), channels, layers, attention: boolean, dropout, ...told },
    create: unet1d,
  }),
  'video-unet': ownFormat({
    title: 'a U-Net for videos',
    className: 'DiffuseVideoUNet',
    folder: 'model',
    scheduler: 'gaussian',
    rules: { shape: shapeOf(4), channels, layers, dropout, ...told },
    create: videoUNet,
  }),
  'token-unet': ownFormat({
    title: 'a U-Net for tokens',
    className: 'DiffuseTokenUNet',
    folder: 'model',
    scheduler: 'discrete',
    rules: { length: size, tokens: size, states: size, channels, layers, attention: boolean, dropout },
    create: ({ tokens, states, ...options }) => tokenUNet({ ...options, diffusion: { tokens, states } }),
  }),
  classifier: ownFormat({
    title: 'a classifier of images',
    className: 'DiffuseClassifier',
    folder: 'model',
    earlyWeights: { weights: 'classifier.safetensors', average: 'classifier_ema.safetensors' },
    scheduler: null,
    rules: { shape: shapeOf(3), classes: size, channels, layers, dropout, timeConditioned: boolean },
    create: classifier,
  }),
  autoencoder: ownFormat({
    title: 'an autoencoder of images',
    className: 'DiffuseAutoencoder',
    folder: 'vae',
    scheduler: null,
    rules: { shape: shapeOf(3), channels, latentChannels: size },
    create: autoencoder,
  }),
};
