import { compile, Graph, openDevice, type Value } from '@diffuse/core';
import { expect, test } from 'vitest';
import { conv2dCases } from '../src/op-cases/conv2d.ts';

const cases = conv2dCases.filter(({ name }) => name.includes('Winograd'));

test.each(cases)('$name: runs by it on every instruction set', async ({ inputs, build }) => {
  for (const isa of ['', 'avx2', 'portable']) {
    using device = await openDevice('cpu', { isa }).catch(() => openDevice('cpu', { isa: 'portable' }));
    const graph = new Graph();
    const values: Record<string, Value> = {};
    for (const [name, { shape }] of Object.entries(inputs)) values[name] = graph.input(name, shape);
    using program = compile(graph, { device, outputs: build(values) });
    expect(program.explain().map(({ plan }) => plan.split(',')[0])).toEqual(['Winograd']);
  }
});
