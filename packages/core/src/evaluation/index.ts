export { energyDistance } from './energy-distance.ts';
export {
  type FeatureStatistics,
  featureStatistics,
  loadStatistics,
  mergeStatistics,
  saveStatistics,
} from './feature-statistics.ts';
export type { FeatureVectors } from './feature-vectors.ts';
export { frechetDistance } from './frechet-distance.ts';
export { type InceptionScore, type InceptionScoreOptions, inceptionScore } from './inception-score.ts';
export { type KernelDistance, type KernelDistanceOptions, kernelDistance } from './kernel-distance.ts';
export type { PaceOptions } from './pace.ts';
export { type PrecisionRecall, type PrecisionRecallOptions, precisionRecall } from './precision-recall.ts';
