export { add, copy, fill, scale } from './elementwise.ts';
export { silu } from './silu.ts';
