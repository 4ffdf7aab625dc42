import { Graph, type Value } from '@diffuse/core';
import { expect } from 'vitest';
import { kernelSignature } from '../../core/src/native/kernels.ts';
import { type CaseResult, type OpCase, opCases } from '../src/index.ts';
import { describeOnCpus, describeOnGpus } from './op-suite.ts';

/**
 * Rounding to bf16 changes a number by 2^-8 of itself at most. What the matrix unit multiplies (weights, attention's probabilities)
 * and some gradients are rounded on their way too.
 */
const outputTolerance = 1.5 * 2 ** -8;
const gradientTolerance = 3 * 2 ** -8;

/** The kernels of a case, forward, that take images of three dimensions or more. */
function imageKernels({ inputs, build }: OpCase): Set<string> {
  const graph = new Graph();
  const values: Record<string, Value> = {};
  for (const [name, { shape, dtype }] of Object.entries(inputs)) values[name] = graph.input(name, shape, dtype);
  build(values);
  const kernels = graph.nodes.filter(({ kernel, inputs: read, outputs: written }) =>
    kernelSignature(kernel).tensors.some(({ name, dtype, output }) => {
      const value = (output ? written : read).get(name);
      return dtype === 'image' && value && value.shape.length >= 3;
    }),
  );
  return new Set(kernels.map(({ kernel }) => kernel));
}

const kernelsOf = new Map<OpCase, ReadonlySet<string>>();
const cases: Record<string, readonly OpCase[]> = {};
for (const [op, list] of Object.entries(opCases)) {
  for (const opCase of list) kernelsOf.set(opCase, imageKernels(opCase));
  const ofImages = list.filter((opCase) => kernelsOf.get(opCase)?.size);
  if (ofImages.length > 0) cases[op] = ofImages;
}

function judge(opCase: OpCase, { outputErrors, gradientErrors, calls }: CaseResult, views: boolean): void {
  // Views are wide enough to be stored as bf16, other images may have too few channels.
  for (const kernel of views ? (kernelsOf.get(opCase) ?? []) : []) {
    const formats = calls.filter((call) => call.kernel === kernel).map(({ images }) => images);
    expect(formats, `images of ${kernel}`).toContain('bf16');
  }
  for (const [name, error] of Object.entries(outputErrors)) {
    expect(error, `output ${name}${views ? ' as a view' : ''}`).toBeLessThanOrEqual(outputTolerance);
  }
  for (const [name, error] of Object.entries(gradientErrors)) {
    expect(error, `gradient of ${name}${views ? ' with views' : ''}`).toBeLessThanOrEqual(gradientTolerance);
  }
}

describeOnCpus({ precision: 'bf16', cases, judge });
describeOnGpus({ precision: 'bf16', cases, judge });
