import type { KernelCheck } from '@diffuse/core';
import { expect, test } from 'vitest';
import { codeFor, cudaRows, kernelReport } from '../src/doctor/gpu-text.ts';

const images = {
  folder: '/addon/cuda',
  format: 'fatbin',
  build: 'b1',
  hash: 'h1',
  targets: 'sm_80 sm_86 sm_90 sm_120 compute_80',
  compiler: 'nvcc 13.0',
} as const;
const cuda = { supports: '13.0', driver: '580.65.06', reason: '', build: 'b1', images };
const path = '/addon/diffuse_native.node';

test.each([
  ['8.0', 'machine code of sm_80'],
  ['8.6', 'machine code of sm_86'],
  ['8.9', 'machine code of sm_86'],
  ['9.0', 'machine code of sm_90'],
  ['10.0', 'PTX of compute_80, which the driver compiles'],
  ['12.1', 'machine code of sm_120'],
])('a GPU of compute capability %s runs %s', (capability, code) => {
  expect(codeFor(capability, images)).toBe(code);
});

test('doctor tells driver, kernels and GPUs', () => {
  const gpu = {
    device: 'cuda:0',
    name: 'NVIDIA H100 PCIe',
    memoryBytes: 80 * 2 ** 30,
    computeCapability: '9.0',
    reason: '',
  } as const;
  expect(cudaRows({ cuda, path }, [gpu])).toEqual([
    ['cuda', 'NVIDIA driver 580.65.06, supports CUDA 13.0'],
    ['kernels', 'build b1, fatbin h1 by nvcc 13.0 for sm_80 sm_86 sm_90 sm_120 compute_80'],
    ['cuda:0', 'NVIDIA H100 PCIe, compute capability 9.0, 80.00 GiB: can be used, machine code of sm_90'],
  ]);
});

test('doctor tells a reason once', () => {
  const facts = { name: 'Tesla T4', memoryBytes: 2 ** 34, computeCapability: '7.5' };
  const gpus = [
    { ...facts, device: 'cuda:0', reason: 'no kernels' },
    { ...facts, device: 'cuda:1', reason: 'too old' },
  ] as const;
  const rows = cudaRows({ cuda: { ...cuda, reason: 'no kernels' }, path }, gpus);
  expect([rows[0], rows[2], rows[3]]).toEqual([
    ['cuda', 'NVIDIA driver 580.65.06, supports CUDA 13.0; not used: no kernels'],
    ['cuda:0', 'Tesla T4, compute capability 7.5, 16.00 GiB'],
    ['cuda:1', 'Tesla T4, compute capability 7.5, 16.00 GiB: cannot be used: too old'],
  ]);
  expect(cudaRows({ cuda: { ...cuda, supports: '', reason: 'no driver' }, path }, [])[0]).toEqual([
    'cuda',
    'not used: no driver',
  ]);
});

test('doctor tells of kernels of another build, or none', () => {
  const other = { ...images, build: 'b2', folder: '/elsewhere' };
  expect(cudaRows({ cuda: { ...cuda, images: other }, path }, [])[1]).toEqual([
    'kernels',
    'build b2; build b1 is needed, fatbin h1 by nvcc 13.0 for sm_80 sm_86 sm_90 sm_120 compute_80, /elsewhere',
  ]);
  const none = { ...images, format: '', build: '', hash: '', targets: '', compiler: '' } as const;
  expect(cudaRows({ cuda: { ...cuda, images: none }, path }, [])[1]).toEqual([
    'kernels',
    'none in /addon/cuda; build b1 is needed',
  ]);
});

test('the report of kernels lists what matters first', () => {
  const agree = { ok: true, outcome: 'agree', problem: '', tolerance: 1e-4 } as const;
  const nothing = { ok: false, error: Number.NaN, tolerance: 0 } as const;
  const checks: KernelCheck[] = [
    { ...agree, kernel: 'silu_forward', format: 'f32', error: 2e-7 },
    { ...nothing, kernel: 'silu_forward', format: 'bf16', outcome: 'failed', problem: 'a fault' },
    { ...agree, kernel: 'copy', format: 'f32', error: 0 },
    { ...agree, kernel: 'copy', format: 'bf16', error: 0 },
    { ok: false, outcome: 'differs', kernel: 'add', format: 'f32', error: 0.5, tolerance: 1e-4, problem: 'too much' },
    { ...nothing, kernel: 'fill', format: 'f32', outcome: 'unchecked', problem: 'it could not be opened again' },
  ];
  expect(kernelReport(checks, 1.25)).toBe(
    [
      '6 checks of 4 kernels in 1.3 s; failed: 1, differ: 1, not made: 1, agree: 3',
      'it could not be opened again',
      'largest differences over the largest numbers: f32 5e-1 of 1e-4 (add), bf16 0 of 1e-4 (copy)',
      'FAILED       silu_forward  bf16: a fault',
      'DIFFERS      add           f32: too much',
      'not checked  fill          f32',
      'ok           silu_forward  f32 2e-7',
      'ok           copy          f32 0, bf16 0',
    ].join('\n'),
  );
});
