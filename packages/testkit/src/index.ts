export * from './distributions.ts';
export * from './ideal-denoiser.ts';
export { mnistFile } from './mnist.ts';
export { type CaseInput, type OpCase, type Tensor64, tensor64 } from './op-case.ts';
export { opCases } from './op-cases/index.ts';
export { type CaseResult, relativeError, runOpCase, sameBits, testNormal } from './run-op-case.ts';
export * from './simulate.ts';
export { type TestGpus, testGpus } from './test-gpus.ts';
