export type { ModelKind, SavedModel, SavedModels } from './checkpoint/model-kinds.ts';
export {
  type CommonSaveOptions,
  type LoadedDiffusion,
  type LoadedLatent,
  type LoadedNetwork,
  type LoadedRun,
  type LoadedRuns,
  type LoadedTokens,
  type LoadRunOptions,
  loadRun,
  loadTrainingState,
  runKind,
  type SaveDiffusionOptions,
  type SaveLatentOptions,
  type SaveNetworkOptions,
  type SaveRunOptions,
  type SaveTokensOptions,
  saveRun,
  saveTrainingState,
} from './checkpoint/run.ts';
export { type RunKind, runTitle } from './checkpoint/run-location.ts';
export type { ScheduleDescription, SchedulerScheduleName } from './checkpoint/schedule-config.ts';
export type { SchedulerDescription } from './checkpoint/scheduler-config.ts';
export { type SchedulerSamplerOptions, schedulerQuirks, schedulerSampler } from './checkpoint/scheduler-sampler.ts';
export type { StateOptions } from './checkpoint/state-file.ts';
export * from './diffusion/index.ts';
export {
  type DiscreteDiffusion,
  type DiscreteDiffusionOptions,
  type DiscreteTransition,
  discreteDiffusion,
} from './discrete/discrete-diffusion.ts';
export { type SampleTokensOptions, sampleTokens } from './discrete/sample-tokens.ts';
export { type TokenObjectiveOptions, tokenObjective } from './discrete/token-objective.ts';
export { type TokenModel, type TokenUNetConfig, type TokenUNetOptions, tokenUNet } from './discrete/token-unet.ts';
export {
  type ClassifierReport,
  type ClassifierSession,
  type ClassifyOptions,
  classifierAccuracy,
  classify,
  openClassifier,
} from './evaluation/classify.ts';
export * from './evaluation/index.ts';
export type { Placement } from './graph/arena.ts';
export { gradient, type Seed } from './graph/gradient.ts';
export {
  type Attribute,
  concatChannels,
  type DType,
  type Emission,
  elementCount,
  emit,
  expectShape,
  type GradientRule,
  Graph,
  type Node,
  reshape,
  type Scalar,
  type Shape,
  type Source,
  shapeText,
  sliceChannels,
  type Value,
} from './graph/graph.ts';
export * from './graph/ops/index.ts';
export { type Location, type Plan, type PlanOptions, plan, planText } from './graph/plan.ts';
export {
  type CallTime,
  type CompileOptions,
  compile,
  estimateMemory,
  type MemoryEstimate,
  type Program,
  type RunOptions,
  type TensorData,
} from './graph/program.ts';
export type { StorageType } from './graph/storage.ts';
export { type AutoencodingOptions, autoencodingObjective } from './latent/autoencoding-objective.ts';
export { type CodingOptions, decodeLatents, encodeImages, type Latents } from './latent/latents.ts';
export {
  type Autoencoder,
  type AutoencoderConfig,
  type AutoencoderOptions,
  autoencoder,
  type CoderInputs,
} from './models/autoencoder.ts';
export {
  type Classifier,
  type ClassifierConfig,
  type ClassifierInputs,
  type ClassifierOptions,
  type ClassifierOutputs,
  classifier,
} from './models/classifier.ts';
export { classifierSlope, type SlopeInputs } from './models/classifier-slope.ts';
export { type Mlp, type MlpConfig, type MlpOptions, mlp } from './models/mlp.ts';
export type { Model, ModelInputs, Network, NullClass, Randomness } from './models/model.ts';
export { type ParameterLayout, parameterSize } from './models/parameter-layout.ts';
export { type Snapshot, type SnapshotOptions, snapshot } from './models/snapshot.ts';
export { type UNet1D, type UNet1DConfig, type UNet1DOptions, unet1d } from './models/unet1d.ts';
export { UNet2D, type UNet2DConstructor, type UNet2DShape } from './models/unet2d.ts';
export { resolveUNet2DConfig, type UNet2DConfig, type UNet2DOptions } from './models/unet2d-config.ts';
export { type VideoUNet, type VideoUNetConfig, type VideoUNetOptions, videoUNet } from './models/video-unet.ts';
export {
  initializeModel,
  type ModelWeights,
  type ParameterSlot,
  type ParameterTable,
  parameterTable,
  parameterValues,
} from './models/weights.ts';
export {
  type CudaImages,
  type Device,
  type DeviceBuffer,
  type DeviceDescription,
  type DeviceOptions,
  listDevices,
  type NativeInfo,
  nativeInfo,
  openDevice,
  type Precision,
  precisions,
} from './native/device.ts';
export { DiffuseError, type ErrorCode } from './native/errors.ts';
export {
  type KernelName,
  type KernelSignature,
  type KernelTensor,
  kernelSignature,
  kernelSignatures,
} from './native/kernels.ts';
export { checkGpu, type DeviceName } from './native/open-native.ts';
export type { KernelCheck, KernelOutcome } from './native/self-check/check-kernels.ts';
export { userCacheDirectory } from './native/self-check/verdict.ts';
export * from './samplers/index.ts';
export {
  type Given,
  type GuidanceMisfit,
  type Mask,
  type SampleOptions,
  type SampleProgress,
  type SamplerMisfit,
  type SampleStep,
  type Samples,
  sample,
} from './samplers/sample.ts';
export * from './schedules/index.ts';
export type { Dataset, DataType } from './training/dataset.ts';
export { type LearningRateShape, learningRateShapes } from './training/learning-rate.ts';
export {
  type Objective,
  type ObjectiveContext,
  type ObjectiveResult,
  type ObjectiveTables,
  uploadTables,
} from './training/objective.ts';
export { type ClassificationOptions, classification } from './training/objectives/classification.ts';
export {
  type DiffusionLoss,
  type DiffusionObjectiveOptions,
  diffusionLosses,
  diffusionObjective,
  objectiveOptionsOf,
  type TimestepSampling,
  timestepSamplings,
} from './training/objectives/denoising.ts';
export { type AdamW, adamW } from './training/optimizer.ts';
export {
  type CommonTrainOptions,
  type ObjectiveTrainOptions,
  type Training,
  type TrainOptions,
  type TrainProgress,
  train,
} from './training/train.ts';
export { type StepGraph, type TrainStepOptions, trainStepGraph } from './training/train-step.ts';
export type { TrainingState } from './training/training-state.ts';
