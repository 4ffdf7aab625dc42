import type { DeviceOptions } from '@diffuse/core';
import type { Precision } from '../precision.ts';

/** A way of computing whose training is looked at. */
export interface Mode {
  /** For people. */
  readonly name: string;
  /** For names of files. */
  readonly key: string;
  readonly precision: Precision;
  readonly convolution: NonNullable<DeviceOptions['convolution']>;
}

/** What the others are held against: every product of the definition, in float32. */
export const reference: Mode = {
  ...{ name: 'fp32, direct', key: 'fp32-direct', precision: 'fp32', convolution: 'direct' },
};

/** The reference, then the modes as users have them. */
export const modes: readonly Mode[] = [
  reference,
  { name: 'fp32', key: 'fp32', precision: 'fp32', convolution: 'auto' },
  { name: 'bf16', key: 'bf16', precision: 'bf16', convolution: 'auto' },
  { name: 'bf16-fast', key: 'bf16-fast', precision: 'bf16-fast', convolution: 'auto' },
];
