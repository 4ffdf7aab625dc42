export { Purpose } from '../random/philox.ts';
export { type ClassifierFeaturesOptions, classifierFeatures, type ImageClassifier } from './classifier-features.ts';
export type { CollectedFeatures } from './collect-features.ts';
export { energyDistance } from './energy-distance.ts';
export {
  type EvaluateImagesOptions,
  evaluateImages,
  type ImageEvaluation,
  type ImageEvaluationProgress,
  type ImageMetric,
  type ImageReference,
  type ImageReferenceOptions,
  imageMetrics,
  imageReference,
} from './evaluate-images.ts';
export { dataPoints } from './evaluation-data.ts';
export type { FeatureNetwork, ImageFeatures, ImagesShape } from './feature-network.ts';
export {
  type FeatureStatistics,
  featureStatistics,
  loadStatistics,
  mergeStatistics,
  saveStatistics,
} from './feature-statistics.ts';
export type { FeatureVectors } from './feature-vectors.ts';
export { frechetDistance } from './frechet-distance.ts';
export {
  continuousGaussian,
  type DiscretisedGaussianOptions,
  discretisedGaussian,
  type NormalCdf,
  type Reconstruction,
} from './gaussian-probability.ts';
export { fillNormal, type HostStream } from './host-random.ts';
export {
  type IdealDenoiser,
  type IdealLossLevel,
  type IdealLossOptions,
  idealDenoiser,
  idealLoss,
  type PointSet,
} from './ideal-denoiser.ts';
export type { ImageBatch, ImageSource } from './image-source.ts';
export { type InceptionScore, type InceptionScoreOptions, inceptionScore } from './inception-score.ts';
export { type KernelDistance, type KernelDistanceOptions, kernelDistance } from './kernel-distance.ts';
export {
  type BitsPerDimension,
  type BitsPerDimensionOptions,
  type BoundStretch,
  bitsPerDimension,
} from './likelihood.ts';
export {
  gaussianLossFloor,
  type LossByLevel,
  type LossByLevelOptions,
  type LossLevel,
  lossByLevel,
} from './loss-by-level.ts';
export type { EvaluatedNetwork, NetworkProgress } from './network.ts';
export { hutchinsonTrace } from './ode-flow.ts';
export { type OdeLikelihood, type OdeLikelihoodOptions, odeLikelihood, type ProbeLaw } from './ode-likelihood.ts';
export {
  type OnnxFeatureNetwork,
  type OnnxFeaturesOptions,
  type OnnxImageOptions,
  type OnnxRuntime,
  type OnnxSession,
  type OnnxTensor,
  onnxFeatures,
} from './onnx-features.ts';
export type { PaceOptions } from './pace.ts';
export { type PrecisionRecall, type PrecisionRecallOptions, precisionRecall } from './precision-recall.ts';
export type { Estimate } from './statistics.ts';
export {
  type BoundTerm,
  boundTermNats,
  type FixedVariance,
  type LastVariance,
  learnedLogVariance,
  priorNats,
  type ReverseVariance,
  reverseLogVariance,
} from './variational-bound.ts';
