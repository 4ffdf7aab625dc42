import {
  attentionLayout,
  convolutionLayout,
  linearLayout,
  normLayout,
  plainLayout,
  resBlockLayout,
} from './blocks/layouts.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { midAttentionGroups, timeEmbeddingDim, type UNet2DConfig } from './unet2d-config.ts';

/**
 * Every parameter of a U-Net with its name, shape and layout, in the order of `UNet2DModel.state_dict()` of diffusers:
 * the way down, the way up, and only then the middle.
 *
 * With `timeEmbeddingType: 'fourier'` the list has `time_proj.weight`, the random frequencies: they are stored with the
 * parameters, but training leaves them alone.
 *
 * @param config a resolved configuration.
 */
export function unet2dParameters(config: UNet2DConfig): ParameterLayout[] {
  const { blockOutChannels } = config;
  const first = blockOutChannels[0] as number;
  return [
    ...convolution('conv_in', 3, config.inChannels, first),
    ...timeAndClass(config, first),
    ...blockOutChannels.flatMap((_, level) => downBlock(config, level)),
    ...blockOutChannels.flatMap((_, block) => upBlock(config, block)),
    ...midBlock(config),
    ...normLayout('conv_norm_out', first),
    ...convolution('conv_out', 3, first, config.outChannels),
  ];
}

function timeAndClass(config: UNet2DConfig, first: number): ParameterLayout[] {
  const fourier = config.timeEmbeddingType === 'fourier';
  const inputs = fourier ? 2 * first : first; // sine and cosine of each of `first` frequencies, or of half as many
  const embedding = timeEmbeddingDim(config);
  const mlp = (name: string): ParameterLayout[] => [
    ...linearLayout(`${name}.linear_1`, inputs, embedding),
    ...linearLayout(`${name}.linear_2`, embedding, embedding),
  ];
  const parameters = fourier ? [plainLayout('time_proj.weight', first)] : [];
  parameters.push(...mlp('time_embedding'));
  if (config.classEmbedType === 'timestep') parameters.push(...mlp('class_embedding'));
  if (config.classEmbedType === null && config.numClassEmbeds !== null) {
    parameters.push(plainLayout('class_embedding.weight', config.numClassEmbeds, embedding));
  }
  return parameters;
}

function downBlock(config: UNet2DConfig, level: number): ParameterLayout[] {
  const { blockOutChannels, layersPerBlock } = config;
  const name = `down_blocks.${level}`;
  const outputs = blockOutChannels[level] as number;
  const inputs = blockOutChannels[Math.max(0, level - 1)] as number;
  const layers = range(layersPerBlock);
  return [
    ...(config.downBlockTypes[level] === 'AttnDownBlock2D'
      ? layers.flatMap((layer) => attentionLayout(`${name}.attentions.${layer}`, outputs, true))
      : []),
    ...layers.flatMap((layer) => resnet(config, `${name}.resnets.${layer}`, layer === 0 ? inputs : outputs, outputs)),
    ...(level < blockOutChannels.length - 1 ? convolution(`${name}.downsamplers.0.conv`, 3, outputs, outputs) : []),
  ];
}

function upBlock(config: UNet2DConfig, block: number): ParameterLayout[] {
  const { blockOutChannels, layersPerBlock } = config;
  const name = `up_blocks.${block}`;
  const level = blockOutChannels.length - 1 - block;
  const outputs = blockOutChannels[level] as number;
  const below = blockOutChannels[Math.min(level + 1, blockOutChannels.length - 1)] as number;
  const above = blockOutChannels[Math.max(0, level - 1)] as number;
  const layers = range(layersPerBlock + 1);
  // The last skip of a level was made before its first residual block, so it has the channels of the level above.
  const inputs = (layer: number): number =>
    (layer === 0 ? below : outputs) + (layer === layersPerBlock ? above : outputs);
  return [
    ...(config.upBlockTypes[block] === 'AttnUpBlock2D'
      ? layers.flatMap((layer) => attentionLayout(`${name}.attentions.${layer}`, outputs, true))
      : []),
    ...layers.flatMap((layer) => resnet(config, `${name}.resnets.${layer}`, inputs(layer), outputs)),
    ...(level > 0 ? convolution(`${name}.upsamplers.0.conv`, 3, outputs, outputs) : []),
  ];
}

function midBlock(config: UNet2DConfig): ParameterLayout[] {
  if (config.midBlockType === null) return [];
  const channels = config.blockOutChannels.at(-1) as number;
  const withNorm = midAttentionGroups(config) !== null;
  return [
    ...(config.addAttention ? attentionLayout('mid_block.attentions.0', channels, withNorm) : []),
    ...resnet(config, 'mid_block.resnets.0', channels, channels),
    ...resnet(config, 'mid_block.resnets.1', channels, channels),
  ];
}

function resnet(config: UNet2DConfig, name: string, inputs: number, outputs: number): ParameterLayout[] {
  const embedding = timeEmbeddingDim(config);
  const timeScaleShift = config.resnetTimeScaleShift;
  return resBlockLayout(name, { kernel: [3, 3], inputs, outputs, embedding, timeScaleShift });
}

function convolution(name: string, kernel: number, inputs: number, outputs: number): ParameterLayout[] {
  return convolutionLayout(name, [kernel, kernel], inputs, outputs);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
