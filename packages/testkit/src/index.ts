export { type CaseInput, type OpCase, type Tensor64, tensor64 } from './op-case.ts';
export { opCases } from './op-cases/index.ts';
export { type CaseResult, relativeError, runOpCase, testNormal } from './run-op-case.ts';
