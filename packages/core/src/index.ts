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
export { type Location, type Placement, type Plan, plan, planText } from './graph/plan.ts';
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
export { type Device, type DeviceBuffer, type DeviceOptions, openDevice } from './native/device.ts';
export { DiffuseError, type ErrorCode } from './native/errors.ts';
export {
  type KernelName,
  type KernelSignature,
  type KernelTensor,
  kernelSignature,
  kernelSignatures,
} from './native/kernels.ts';
export type { Dataset } from './training/dataset.ts';
