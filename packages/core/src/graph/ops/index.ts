export { addChannels } from './add-channels.ts';
export { type AttentionOptions, attention } from './attention.ts';
export { type Conv2dOptions, conv2d, type Padding } from './conv2d.ts';
export { divideSamples } from './divide-samples.ts';
export { type DropoutOptions, dropout } from './dropout.ts';
export { type DynamicThresholdOptions, dynamicThreshold } from './dynamic-threshold.ts';
export { add, copy, fill, multiply, scale } from './elementwise.ts';
export { embedding } from './embedding.ts';
export { gaussianLatent } from './gaussian-latent.ts';
export { type GroupNormOptions, groupNorm, momentChunks } from './group-norm.ts';
export { BOUND_COLUMNS, type HybridLossOptions, type HybridLossTensors, hybridLoss } from './hybrid-loss.ts';
export { linear } from './linear.ts';
export { type MatmulOptions, matmul } from './matmul.ts';
export { multiplySamples } from './multiply-samples.ts';
export { type Noised, type NoisingOptions, noising } from './noising.ts';
export { type AdamwEmaOptions, type AdamwEmaTensors, adamwEma, gradientNorm } from './optimizer.ts';
export { type RandomStream, randomNormal, randomUniform } from './random.ts';
export { sum, sumPixels, sumSamples } from './reductions.ts';
export { type SamplerUpdateOptions, type SamplerUpdateTensors, samplerUpdate } from './sampler-update.ts';
export { scaleShift } from './scale-shift.ts';
export { ESTIMATE_COLUMNS, type SelfConditioningOptions, selfConditioning } from './self-conditioning.ts';
export { silu } from './silu.ts';
export { type CrossEntropy, softmaxCrossEntropy } from './softmax-cross-entropy.ts';
export { fourierEmbedding, type TimeEmbeddingOptions, timeEmbedding } from './time-embedding.ts';
export {
  type TokenDenoisingLoss,
  type TokenDenoisingTensors,
  tokenDenoisingLoss,
} from './token-denoising-loss.ts';
export { type TokenNoisingOptions, tokenNoising } from './token-noising.ts';
export { upsampleNearest } from './upsample-nearest.ts';
export { weightedMse } from './weighted-mse.ts';
