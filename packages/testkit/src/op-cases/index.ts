import type { OpCase } from '../op-case.ts';
import { attentionCases } from './attention.ts';
import { conv2dCases } from './conv2d.ts';
import { dynamicThresholdCases } from './dynamic-threshold.ts';
import {
  addCases,
  addChannelsCases,
  copyCases,
  divideSamplesCases,
  fillCases,
  multiplyCases,
  multiplySamplesCases,
  scaleCases,
} from './elementwise.ts';
import { embeddingCases } from './embedding.ts';
import { gaussianLatentCases } from './gaussian-latent.ts';
import { groupNormCases } from './group-norm.ts';
import { hybridLossCases } from './hybrid-loss.ts';
import { linearCases } from './linear.ts';
import { matmulCases } from './matmul.ts';
import { noisingCases } from './noising.ts';
import { adamwEmaCases, gradientNormCases } from './optimizer.ts';
import { dropoutCases, randomNormalCases, randomUniformCases } from './random.ts';
import { sumCases, sumPixelsCases, sumSamplesCases } from './reductions.ts';
import { samplerUpdateCases } from './sampler-update.ts';
import { scaleShiftCases } from './scale-shift.ts';
import { selfConditioningCases } from './self-conditioning.ts';
import { siluCases } from './silu.ts';
import { softmaxCrossEntropyCases } from './softmax-cross-entropy.ts';
import { fourierEmbeddingCases, timeEmbeddingCases } from './time-embedding.ts';
import { tokenDenoisingLossCases } from './token-denoising-loss.ts';
import { tokenNoisingCases } from './token-noising.ts';
import { upsampleNearestCases } from './upsample-nearest.ts';
import { weightedMseCases } from './weighted-mse.ts';

/** Every op case, by op: what the tests, the self-check and the benchmark of single ops walk through. */
export const opCases: Readonly<Record<string, readonly OpCase[]>> = {
  attention: attentionCases,
  adamwEma: adamwEmaCases,
  add: addCases,
  addChannels: addChannelsCases,
  conv2d: conv2dCases,
  copy: copyCases,
  divideSamples: divideSamplesCases,
  dropout: dropoutCases,
  dynamicThreshold: dynamicThresholdCases,
  embedding: embeddingCases,
  fill: fillCases,
  fourierEmbedding: fourierEmbeddingCases,
  gaussianLatent: gaussianLatentCases,
  gradientNorm: gradientNormCases,
  groupNorm: groupNormCases,
  hybridLoss: hybridLossCases,
  linear: linearCases,
  matmul: matmulCases,
  multiply: multiplyCases,
  multiplySamples: multiplySamplesCases,
  noising: noisingCases,
  randomNormal: randomNormalCases,
  randomUniform: randomUniformCases,
  samplerUpdate: samplerUpdateCases,
  scale: scaleCases,
  scaleShift: scaleShiftCases,
  selfConditioning: selfConditioningCases,
  silu: siluCases,
  softmaxCrossEntropy: softmaxCrossEntropyCases,
  sum: sumCases,
  sumPixels: sumPixelsCases,
  sumSamples: sumSamplesCases,
  timeEmbedding: timeEmbeddingCases,
  tokenDenoisingLoss: tokenDenoisingLossCases,
  tokenNoising: tokenNoisingCases,
  upsampleNearest: upsampleNearestCases,
  weightedMse: weightedMseCases,
};
