import { boolean, integer, isRecord, listOf, nullable, number, oneOf, type Rule, show } from '../config/value-rules.ts';
import { DiffuseError } from '../native/errors.ts';

/** Kind of a level on the way down: residual blocks alone, or each followed by self-attention. */
export type DownBlockType = 'DownBlock2D' | 'AttnDownBlock2D';

/** Kind of a level on the way up: residual blocks alone, or each followed by self-attention. */
export type UpBlockType = 'UpBlock2D' | 'AttnUpBlock2D';

/**
 * Everything that makes a U-Net: the camelCase twin of the configuration of diffusers' `UNet2DModel`, the network of
 * Ho et al. 2020 (arXiv:2006.11239, appendix B) and its descendants. {@link resolveUNet2DConfig} makes one.
 */
export interface UNet2DConfig {
  /** Height and width of the images in pixels, each a multiple of 2^(levels - 1). */
  readonly sampleSize: readonly [height: number, width: number];
  /** Channels of the input image. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** Whether the input x is replaced by 2x - 1 first. */
  readonly centerInputSample: boolean;
  /** Sinusoids of the timestep, or of its logarithm at random frequencies (then the output is divided by the timestep). */
  readonly timeEmbeddingType: 'positional' | 'fourier';
  /** Width of the time embedding; null is four times the first block's channels. */
  readonly timeEmbeddingDim: number | null;
  /** Frequencies of the sinusoids are exp(-ln(1e4) i / (half - freqShift)), half = blockOutChannels[0] / 2. */
  readonly freqShift: number;
  /** Whether cosines come before sines. */
  readonly flipSinToCos: boolean;
  /** One entry a level, from the finest. */
  readonly downBlockTypes: readonly DownBlockType[];
  /** The middle of the network; null leaves it out. */
  readonly midBlockType: 'UNetMidBlock2D' | null;
  /** One entry a level, from the coarsest. */
  readonly upBlockTypes: readonly UpBlockType[];
  /** Channels of each level, from the finest. */
  readonly blockOutChannels: readonly number[];
  /** Residual blocks of a level on the way down; on the way up there is one more. */
  readonly layersPerBlock: number;
  /** What the sums of the middle's residual connections are divided by. */
  readonly midBlockScaleFactor: number;
  /** 1 pads the stride-2 convolutions on all sides; 0 pads below and to the right only, as TensorFlow does. */
  readonly downsamplePadding: 0 | 1;
  /** Only a convolution of stride 2. */
  readonly downsampleType: 'conv';
  /** Only nearest-neighbour upsampling followed by a convolution. */
  readonly upsampleType: 'conv';
  /** Share of activations dropped in training, in [0, 1). */
  readonly dropout: number;
  /** Only SiLU. */
  readonly actFn: 'silu';
  /** Channels of an attention head; null is one head of all channels. */
  readonly attentionHeadDim: number | null;
  /** Groups of every group normalisation. */
  readonly normNumGroups: number;
  /** Groups of the normalisation in the middle's attention; see {@link midAttentionGroups} for null. */
  readonly attnNormNumGroups: number | null;
  /** Added to the variance in every normalisation. */
  readonly normEps: number;
  /** Whether the time embedding is added, or scales and shifts the normalised activations. */
  readonly resnetTimeScaleShift: 'default' | 'scale_shift';
  /** Whether the middle has attention. */
  readonly addAttention: boolean;
  /**
   * How a class enters: null is a table of `numClassEmbeds` rows, or no class at all; 'timestep' embeds a number as the
   * timestep is; 'identity' takes vectors of the time embedding's width.
   */
  readonly classEmbedType: 'timestep' | 'identity' | null;
  /** Rows of the class table; without effect when `classEmbedType` is not null. */
  readonly numClassEmbeds: number | null;
  /**
   * Whether the last row of the class table stands for no class. diffusers has no such field: files carry it as `_null_class`, a
   * key that diffusers ignores as it does every key with a leading underscore.
   */
  readonly nullClass: boolean;
  /**
   * Whether the second half of the input's channels is the network's own estimate of the clean image. diffusers has no such field: files
   * carry it as `_self_conditioning`.
   */
  readonly selfConditioning: boolean;
  /** Number of training timesteps; without effect on the network. */
  readonly numTrainTimesteps: number | null;
}

/** What {@link resolveUNet2DConfig} takes: the fields that differ from the defaults. */
export type UNet2DOptions = Partial<Omit<UNet2DConfig, 'sampleSize' | 'actFn'>> & {
  /** Height and width, or one number for both. */
  readonly sampleSize: number | readonly [height: number, width: number];
  /** 'swish' is another name of 'silu'. */
  readonly actFn?: 'silu' | 'swish';
};

type Field = keyof UNet2DConfig;

/** Far above any use, and low enough that no product of sizes leaves the safe integers. */
const size: Rule<number> = integer(1, 2 ** 20);
const levels = { min: 1, max: 16 };

const rules: { readonly [F in Field]: Rule<UNet2DConfig[F]> } = {
  sampleSize: {
    expected: 'the image size in pixels, one integer from 1 to 1048576 or [height, width] of such',
    accepts: listOf(size, 2, 2).accepts as Rule<UNet2DConfig['sampleSize']>['accepts'],
  },
  inChannels: size,
  outChannels: size,
  centerInputSample: boolean,
  timeEmbeddingType: oneOf('positional', 'fourier'),
  timeEmbeddingDim: nullable(size),
  freqShift: number('a finite number', () => true),
  flipSinToCos: boolean,
  downBlockTypes: listOf(oneOf('DownBlock2D', 'AttnDownBlock2D'), levels.min, levels.max),
  midBlockType: nullable(oneOf('UNetMidBlock2D')),
  upBlockTypes: listOf(oneOf('UpBlock2D', 'AttnUpBlock2D'), levels.min, levels.max),
  blockOutChannels: listOf(size, levels.min, levels.max),
  layersPerBlock: integer(1, 256),
  midBlockScaleFactor: number('a number above 0', (value) => value > 0),
  downsamplePadding: oneOf(0, 1),
  downsampleType: oneOf('conv'),
  upsampleType: oneOf('conv'),
  dropout: number('a number from 0 to below 1', (value) => value >= 0 && value < 1),
  actFn: oneOf('silu'),
  attentionHeadDim: nullable(size),
  normNumGroups: size,
  attnNormNumGroups: nullable(size),
  normEps: number('a number above 0', (value) => value > 0),
  resnetTimeScaleShift: oneOf('default', 'scale_shift'),
  addAttention: boolean,
  classEmbedType: nullable(oneOf('timestep', 'identity')),
  numClassEmbeds: nullable(size),
  nullClass: boolean,
  selfConditioning: boolean,
  numTrainTimesteps: nullable(size),
};

const fields = Object.keys(rules) as readonly Field[];

/** Fields that diffusers does not have: files carry them, where they are true, as keys with a leading underscore, which it ignores. */
const ownFields: ReadonlySet<Field> = new Set(['nullClass', 'selfConditioning']);

/** The defaults of diffusers' class, which hold for every key that a `config.json` does not have. */
const defaults: Omit<UNet2DConfig, 'sampleSize'> = {
  inChannels: 3,
  outChannels: 3,
  centerInputSample: false,
  timeEmbeddingType: 'positional',
  timeEmbeddingDim: null,
  freqShift: 0,
  flipSinToCos: true,
  downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
  midBlockType: 'UNetMidBlock2D',
  upBlockTypes: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
  blockOutChannels: [224, 448, 672, 896],
  layersPerBlock: 2,
  midBlockScaleFactor: 1,
  downsamplePadding: 1,
  downsampleType: 'conv',
  upsampleType: 'conv',
  dropout: 0,
  actFn: 'silu',
  attentionHeadDim: 8,
  normNumGroups: 32,
  attnNormNumGroups: null,
  normEps: 1e-5,
  resnetTimeScaleShift: 'default',
  addAttention: true,
  classEmbedType: null,
  numClassEmbeds: null,
  nullClass: false,
  selfConditioning: false,
  numTrainTimesteps: null,
};

/** The version of diffusers whose files are written. */
export const DIFFUSERS_VERSION = '0.40.0';

/** What `EMAModel.save_pretrained` adds to the configuration of averaged weights; nothing of it changes the network. */
const averagingKeys = new Set([
  'decay',
  'min_decay',
  'optimization_step',
  'update_after_step',
  'use_ema_warmup',
  'inv_gamma',
  'power',
]);

/**
 * Fills in the defaults of diffusers' `UNet2DModel` class and checks every field and how they fit together.
 *
 * @param options the fields that differ from the defaults; `sampleSize` has none.
 * @returns a frozen configuration without missing fields.
 * @throws DiffuseError `ERR_ARGUMENT`: one line with the field, what came and what would be right.
 */
export function resolveUNet2DConfig(options: UNet2DOptions): UNet2DConfig {
  if (!isRecord(options)) {
    throw new DiffuseError('ERR_ARGUMENT', `U-Net configuration is ${show(options)}; expected an object`);
  }
  const refuse = (field: string, value: unknown, expected: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `U-Net configuration: ${field} is ${show(value)}; expected ${expected}`);
  };
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, key)) refuse(key, value, `no such field; the fields are ${fields.join(', ')}`);
  }
  return resolve(options, (field, value, expected) => refuse(field, value, expected));
}

/**
 * The configuration as `config.json` of diffusers' `UNet2DModel`.
 *
 * @returns a plain object for `JSON.stringify`, keys in alphabetical order as diffusers writes them.
 */
export function configToDiffusers(config: UNet2DConfig): Record<string, unknown> {
  const [height, width] = config.sampleSize;
  const entries = fields
    .filter((field) => !ownFields.has(field))
    .map((field): [string, unknown] => [fileKey(field), config[field]]);
  return {
    _class_name: 'UNet2DModel',
    _diffusers_version: DIFFUSERS_VERSION,
    ...Object.fromEntries([...ownFields].filter((field) => config[field]).map((field) => [fileKey(field), true])),
    ...Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))),
    sample_size: height === width ? height : [height, width],
  };
}

/**
 * The configuration from the content of a `config.json`. Keys that are missing take the defaults of diffusers' class;
 * unknown keys are ignored when they begin with `_`, when they belong to weight averaging, or when they are null or false.
 *
 * @param json the parsed file.
 * @param source what to call the file in an error.
 * @throws DiffuseError `ERR_CHECKPOINT`: one line with file, key, what came and what would be right.
 */
export function configFromDiffusers(json: unknown, source = 'config.json'): UNet2DConfig {
  const fail = (problem: string): never => {
    throw new DiffuseError('ERR_CHECKPOINT', `${source}: ${problem}`);
  };
  if (!isRecord(json)) return fail(`is ${show(json)}; expected an object`);
  const className = json._class_name ?? 'UNet2DModel';
  if (className !== 'UNet2DModel') fail(`_class_name is ${show(className)}; expected "UNet2DModel"`);

  const values: Partial<Record<Field, unknown>> = {};
  for (const field of fields) {
    const key = fileKey(field);
    if (Object.hasOwn(json, key)) values[field] = json[key];
  }
  const known = new Set(fields.map(fileKey));
  for (const [key, value] of Object.entries(json)) {
    if (known.has(key) || key.startsWith('_') || averagingKeys.has(key) || value === null || value === false) continue;
    fail(`${key} is ${show(value)}; diffuse does not know this key, expected it to be absent or null`);
  }
  values.downBlockTypes = withoutLegacyPrefix(values.downBlockTypes);
  values.upBlockTypes = withoutLegacyPrefix(values.upBlockTypes);
  return resolve(values, (field, value, expected) => fail(`${fileKey(field)} is ${show(value)}; expected ${expected}`));
}

/** Width of the time embedding. */
export function timeEmbeddingDim(config: UNet2DConfig): number {
  return config.timeEmbeddingDim ?? 4 * (config.blockOutChannels[0] as number);
}

/**
 * Groups of the normalisation before the middle's attention, or null when there is none: `attnNormNumGroups`, else
 * `normNumGroups` if the time embedding is added ('default') and nothing if it scales and shifts.
 */
export function midAttentionGroups(config: UNet2DConfig): number | null {
  if (config.attnNormNumGroups !== null) return config.attnNormNumGroups;
  return config.resnetTimeScaleShift === 'default' ? config.normNumGroups : null;
}

type Refuse = (field: Field, value: unknown, expected: string) => never;

/** The names of the fields differ from diffusers' keys in spelling alone. */
function fileKey(field: Field): string {
  const prefix = ownFields.has(field) ? '_' : '';
  return prefix + field.replaceAll(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
}

/** Early files have block types such as 'UNetResAttnDownBlock2D'; diffusers still cuts the prefix off. */
function withoutLegacyPrefix(types: unknown): unknown {
  if (!Array.isArray(types)) return types;
  return types.map((type: unknown) => (typeof type === 'string' ? type.replace(/^UNetRes/, '') : type));
}

function resolve(options: Partial<Record<Field, unknown>>, refuse: Refuse): UNet2DConfig {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const values: Record<string, unknown> = { ...defaults, ...given };
  if (typeof values.sampleSize === 'number') values.sampleSize = [values.sampleSize, values.sampleSize];
  if (values.actFn === 'swish') values.actFn = 'silu';
  for (const field of fields) {
    const value = values[field];
    if (!rules[field].accepts(value))
      refuse(field, field === 'sampleSize' ? options[field] : value, rules[field].expected);
    values[field] = Array.isArray(value) ? Object.freeze([...value]) : value;
  }
  const config = Object.freeze(values) as unknown as UNet2DConfig;
  checkLevels(config, refuse);
  checkClasses(config, refuse);
  checkEstimate(config, refuse);
  checkWidths(config, refuse);
  return config;
}

function checkLevels(config: UNet2DConfig, refuse: Refuse): void {
  const count = config.blockOutChannels.length;
  for (const field of ['downBlockTypes', 'upBlockTypes'] as const) {
    if (config[field].length !== count) {
      refuse(
        field,
        config[field],
        `${count} entries, as many as block channels [${config.blockOutChannels.join(', ')}]`,
      );
    }
  }
  const step = 2 ** (count - 1);
  if (config.sampleSize.some((pixels) => pixels % step !== 0)) {
    refuse(
      'sampleSize',
      config.sampleSize,
      `multiples of ${step}, because ${count} levels halve the image ${count - 1} times`,
    );
  }
}

function checkClasses({ nullClass, classEmbedType, numClassEmbeds }: UNet2DConfig, refuse: Refuse): void {
  if (nullClass && (classEmbedType !== null || numClassEmbeds === null || numClassEmbeds < 2)) {
    refuse('nullClass', nullClass, 'false, because there is no table of a class and the null class at least');
  }
}

function checkEstimate({ selfConditioning, inChannels }: UNet2DConfig, refuse: Refuse): void {
  if (selfConditioning && inChannels % 2 !== 0) {
    refuse('inChannels', inChannels, "an even number: the image's channels and as many of the network's own estimate");
  }
}

function checkWidths(config: UNet2DConfig, refuse: Refuse): void {
  const { blockOutChannels, normNumGroups, attnNormNumGroups, attentionHeadDim, freqShift } = config;
  const [first = 0] = blockOutChannels;
  const last = blockOutChannels.at(-1) ?? 0;
  const hasMidAttention = config.midBlockType !== null && config.addAttention;

  const uneven = blockOutChannels.find((channels) => channels % normNumGroups !== 0);
  if (uneven !== undefined) refuse('normNumGroups', normNumGroups, `a divisor of all block channels, so of ${uneven}`);
  if (hasMidAttention && attnNormNumGroups !== null && last % attnNormNumGroups !== 0) {
    refuse('attnNormNumGroups', attnNormNumGroups, `a divisor of the last block's channels, ${last}`);
  }
  if (attentionHeadDim !== null) {
    const attended = blockOutChannels.filter(
      (_, level) =>
        config.downBlockTypes[level] === 'AttnDownBlock2D' || config.upBlockTypes.at(-1 - level) === 'AttnUpBlock2D',
    );
    const split = [...attended, ...(hasMidAttention ? [last] : [])].find(
      (channels) => channels % attentionHeadDim !== 0,
    );
    if (split !== undefined) {
      refuse(
        'attentionHeadDim',
        attentionHeadDim,
        `a divisor of the channels under attention, so of ${split}, or null`,
      );
    }
  }
  if (config.timeEmbeddingType === 'positional') {
    if (first % 2 !== 0) refuse('blockOutChannels', blockOutChannels, 'an even first entry: half sines, half cosines');
    if (freqShift >= first / 2) refuse('freqShift', freqShift, `below half the first block's channels, ${first / 2}`);
  }
}
