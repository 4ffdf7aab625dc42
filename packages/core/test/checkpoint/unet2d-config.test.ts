import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  configFromDiffusers,
  configToDiffusers,
  midAttentionGroups,
  resolveUNet2DConfig,
  timeEmbeddingDim,
  type UNet2DOptions,
} from '../../src/models/unet2d-config.ts';
import { expectDiffuseError, failureOf, golden } from './folders.ts';

const readConfig = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(golden(name, 'unet', 'config.json'), 'utf8'));

/** The `config.json` of google/ddpm-cifar10-32, which lacks the keys of later versions. */
const cifar10 = {
  _class_name: 'UNet2DModel',
  _diffusers_version: '0.0.4',
  act_fn: 'silu',
  attention_head_dim: null,
  block_out_channels: [128, 256, 256, 256],
  center_input_sample: false,
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
  downsample_padding: 0,
  flip_sin_to_cos: false,
  freq_shift: 1,
  in_channels: 3,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-6,
  norm_num_groups: 32,
  out_channels: 3,
  sample_size: 32,
  time_embedding_type: 'positional',
  up_block_types: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
};

const small: UNet2DOptions = {
  sampleSize: 16,
  blockOutChannels: [8, 16],
  downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D'],
  upBlockTypes: ['AttnUpBlock2D', 'UpBlock2D'],
  normNumGroups: 4,
};

describe('resolveUNet2DConfig', () => {
  test("fills in the defaults of diffusers' class", () => {
    const config = resolveUNet2DConfig({ sampleSize: 64 });
    expect(config).toEqual({
      sampleSize: [64, 64],
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
    });
    expect(timeEmbeddingDim(config)).toBe(896);
    expect(midAttentionGroups(config)).toBe(32);
  });

  test('is a fixed point, frozen, and does not keep the arrays of the caller', () => {
    const blockOutChannels = [8, 16];
    const config = resolveUNet2DConfig({ ...small, blockOutChannels, actFn: 'swish', sampleSize: [16, 24] });
    blockOutChannels[0] = 1;
    expect(config.blockOutChannels).toEqual([8, 16]);
    expect(config.actFn).toBe('silu');
    expect(Object.isFrozen(config) && Object.isFrozen(config.blockOutChannels)).toBe(true);
    expect(resolveUNet2DConfig(config)).toEqual(config);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ sampleSize: undefined }, 'sampleSize is missing; expected the image size in pixels'],
    [{ sampleSize: 0 }, 'sampleSize is 0; expected the image size'],
    [{ sampleSize: [16, 16, 16] }, 'sampleSize is [ 16, 16, 16 ]; expected the image size'],
    [{ sampleSize: 17 }, 'sampleSize is [ 17, 17 ]; expected multiples of 2, because 2 levels halve the image 1 times'],
    [{ sampleSize: [16, 15] }, 'sampleSize is [ 16, 15 ]; expected multiples of 2'],
    [{ inChannels: 1.5 }, 'inChannels is 1.5; expected an integer from 1 to 1048576'],
    [{ outChannels: '3' }, "outChannels is '3'; expected an integer"],
    [{ blockOutChannels: [] }, 'blockOutChannels is []; expected a list of 1 to 16 entries'],
    [{ blockOutChannels: 8 }, 'blockOutChannels is 8; expected a list'],
    [{ blockOutChannels: [8, 16, 32] }, 'downBlockTypes is .*; expected 3 entries, as many as block channels'],
    [{ upBlockTypes: ['UpBlock2D'] }, 'upBlockTypes is .*; expected 2 entries'],
    [{ downBlockTypes: ['DownBlock2D', 'CrossAttnDownBlock2D'] }, '"DownBlock2D" or "AttnDownBlock2D"'],
    [{ midBlockType: 'UNetMidBlock2DCrossAttn' }, 'midBlockType is .*; expected "UNetMidBlock2D", or null'],
    [{ normNumGroups: 3 }, 'normNumGroups is 3; expected a divisor of all block channels, so of 8'],
    [{ normNumGroups: null }, 'normNumGroups is null; expected an integer'],
    [{ attnNormNumGroups: 5 }, "attnNormNumGroups is 5; expected a divisor of the last block's channels, 16"],
    [{ attentionHeadDim: 3 }, 'attentionHeadDim is 3; expected a divisor of the channels under attention, so of 16'],
    [{ layersPerBlock: 0 }, 'layersPerBlock is 0; expected an integer from 1 to 256'],
    [{ downsamplePadding: 2 }, 'downsamplePadding is 2; expected 0 or 1'],
    [{ downsampleType: 'resnet' }, `downsampleType is 'resnet'; expected "conv"`],
    [{ upsampleType: 'resnet' }, `upsampleType is 'resnet'; expected "conv"`],
    [{ dropout: 1 }, 'dropout is 1; expected a number from 0 to below 1'],
    [{ normEps: 0 }, 'normEps is 0; expected a number above 0'],
    [{ normEps: Number.NaN }, 'normEps is NaN; expected a number above 0'],
    [{ actFn: 'gelu' }, `actFn is 'gelu'; expected "silu"`],
    [{ timeEmbeddingType: 'learned' }, `timeEmbeddingType is 'learned'; expected "positional" or "fourier"`],
    [{ timeEmbeddingDim: -1 }, 'timeEmbeddingDim is -1; expected an integer from 1 to 1048576, or null'],
    [{ freqShift: 4 }, "freqShift is 4; expected below half the first block's channels, 4"],
    [{ blockOutChannels: [9, 18], normNumGroups: 9, attentionHeadDim: null }, 'expected an even first entry'],
    [{ resnetTimeScaleShift: 'spatial' }, `resnetTimeScaleShift is 'spatial'; expected "default" or "scale_shift"`],
    [{ classEmbedType: 'projection' }, `classEmbedType is 'projection'; expected "timestep" or "identity", or null`],
    [{ numClassEmbeds: 0 }, 'numClassEmbeds is 0; expected an integer'],
    [{ midBlockScaleFactor: 0 }, 'midBlockScaleFactor is 0; expected a number above 0'],
    [{ addAttention: 1 }, 'addAttention is 1; expected true or false'],
    [{ channels: [8] }, 'channels is .*; expected no such field; the fields are sampleSize, inChannels'],
  ])('refuses %j', async (change, message) => {
    const options = { ...small, ...change } as UNet2DOptions;
    const pattern = new RegExp(message.replaceAll(/[[\]().^|]/g, '\\$&').replaceAll('\\.*', '.*'));
    expectDiffuseError(await failureOf(() => resolveUNet2DConfig(options)), 'ERR_ARGUMENT', pattern);
  });

  test('refuses what is no object', async () => {
    for (const value of [null, undefined, 3, 'unet', [small]]) {
      const failure = await failureOf(() => resolveUNet2DConfig(value as unknown as UNet2DOptions));
      expectDiffuseError(failure, 'ERR_ARGUMENT', 'expected an object');
    }
  });

  test('asks of heads and groups only where there is attention', () => {
    const plain: UNet2DOptions = {
      ...small,
      downBlockTypes: ['DownBlock2D', 'DownBlock2D'],
      upBlockTypes: ['UpBlock2D', 'UpBlock2D'],
      attentionHeadDim: 7,
      attnNormNumGroups: 5,
    };
    expect(resolveUNet2DConfig({ ...plain, addAttention: false }).attentionHeadDim).toBe(7);
    expect(resolveUNet2DConfig({ ...plain, midBlockType: null }).attnNormNumGroups).toBe(5);
    expect(midAttentionGroups(resolveUNet2DConfig({ ...small, resnetTimeScaleShift: 'scale_shift' }))).toBeNull();
  });
});

describe("diffusers' config.json", () => {
  test.each(['unet-ddpm-tiny', 'unet-heads-tiny'])('%s comes back key for key', (name) => {
    const json = readConfig(name);
    const written = configToDiffusers(configFromDiffusers(json));
    expect({ ...written, _diffusers_version: json._diffusers_version }).toEqual(json);
    expect(Object.keys(written)).toEqual(Object.keys(json));
  });

  test('an early file takes the defaults of the class for what it lacks', () => {
    const config = configFromDiffusers(cifar10);
    expect(config).toMatchObject({ attentionHeadDim: null, normEps: 1e-6, downsamplePadding: 0, flipSinToCos: false });
    expect(config).toMatchObject({ addAttention: true, dropout: 0, resnetTimeScaleShift: 'default', freqShift: 1 });
    expect(configFromDiffusers({ sample_size: 64 })).toEqual(resolveUNet2DConfig({ sampleSize: 64 }));
  });

  test('rectangles, synonyms, early block names and the keys of weight averaging', () => {
    const config = configFromDiffusers({
      ...cifar10,
      act_fn: 'swish',
      sample_size: [32, 64],
      down_block_types: ['UNetResDownBlock2D', 'UNetResAttnDownBlock2D', 'UNetResDownBlock2D', 'UNetResDownBlock2D'],
      decay: 0.9999,
      optimization_step: 100,
      use_ema_warmup: true,
      _name_or_path: 'somewhere',
      later_feature: null,
      another_feature: false,
    });
    expect(config).toEqual({ ...configFromDiffusers(cifar10), sampleSize: [32, 64] });
    expect(configToDiffusers(config).sample_size).toEqual([32, 64]);
  });

  test.each<[unknown, RegExp]>([
    [{ ...cifar10, _class_name: 'UNet2DConditionModel' }, /x\.json: _class_name is 'UNet2DConditionModel'; expected/],
    [{ ...cifar10, sample_size: null }, /x\.json: sample_size is null; expected the image size/],
    [{ ...cifar10, time_embedding_type: 'learned' }, /time_embedding_type is 'learned'; expected/],
    [{ ...cifar10, down_block_types: ['SkipDownBlock2D'] }, /down_block_types is \[ 'SkipDownBlock2D' \]; expected/],
    [{ ...cifar10, norm_num_groups: 33 }, /norm_num_groups is 33; expected a divisor/],
    [{ ...cifar10, encoder_hid_dim: 768 }, /encoder_hid_dim is 768; diffuse does not know this key/],
    [['a'], /x\.json: is \[ 'a' \]; expected an object/],
    [null, /x\.json: is null; expected an object/],
  ])('refuses %j', async (json, message) => {
    expectDiffuseError(await failureOf(() => configFromDiffusers(json, 'x.json')), 'ERR_CHECKPOINT', message);
  });
});
