export { type Classification, type ClassifierFeaturesOptions, classifierFeatures } from './classifier-features.ts';
export { energyDistance } from './energy-distance.ts';
export {
  type EvaluateImagesOptions,
  type EvaluationProgress,
  evaluateImages,
  type ImageEvaluation,
  type ImageMetric,
  imageMetrics,
} from './evaluate-images.ts';
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
export type { ImageBatch, ImageSource } from './image-source.ts';
export { type InceptionScore, type InceptionScoreOptions, inceptionScore } from './inception-score.ts';
export { type KernelDistance, type KernelDistanceOptions, kernelDistance } from './kernel-distance.ts';
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
