import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { parseBenchArguments } from '../src/arguments.ts';
import { benchCommand } from '../src/command-line.ts';
import { suites } from '../src/suites/index.ts';

test('without arguments everything of ours is measured but what takes half an hour', () => {
  expect(parseBenchArguments([])).toEqual({
    command: 'run',
    suites: suites.filter(({ name }) => !['quality', 'convergence'].includes(name)).map(({ name }) => name),
    configs: ['S', 'M', 'L'],
    device: 'cpu',
    peers: [],
    precision: 'fp32',
    tf32: false,
    isa: undefined,
    json: undefined,
    only: '',
    quick: false,
    compile: false,
    threads: availableParallelism(),
  });
});

test('suites run in their own order, flags are read, a leading -- is passed over', () => {
  const args = [
    '--',
    'memory',
    'ops',
    '--peer',
    'pytorch',
    '--configs',
    'M,S',
    '--threads',
    '3',
    '--quick',
    ...['--precision', 'bf16', '--isa', 'avx2'],
    '--json',
    'a.json',
  ];
  expect(parseBenchArguments(args)).toMatchObject({
    suites: ['ops', 'memory'],
    configs: ['M', 'S'],
    peers: ['pytorch'],
    threads: 3,
    precision: 'bf16',
    isa: 'avx2',
    quick: true,
    json: 'a.json',
  });
  expect(parseBenchArguments(['quality'])).toMatchObject({ suites: ['quality'] });
  expect(parseBenchArguments(['compare', 'a', 'b'])).toEqual({ command: 'compare', before: 'a', after: 'b' });
  expect(parseBenchArguments(['profile', '--configs', 'L'])).toMatchObject({ command: 'profile', configs: ['L'] });
  const roofline = {
    command: 'roofline',
    configs: ['L'],
    device: 'cpu',
    threads: 2,
    explain: false,
    isa: 'avx2',
    precision: 'bf16',
    tf32: false,
  };
  for (const form of ['roofline', '--roofline']) {
    expect(
      parseBenchArguments([form, '--configs', 'L', '--threads', '2', '--isa', 'avx2', '--precision', 'bf16']),
    ).toEqual(roofline);
  }
});

test('on a GPU the suites of the CPU are left out', () => {
  expect(parseBenchArguments(['--device', 'cuda:1'])).toMatchObject({
    device: 'cuda:1',
    suites: ['ops', 'block', 'train-step', 'forward', 'sample'],
  });
  expect(parseBenchArguments(['--device', 'cuda', '--tf32'])).toMatchObject({ device: 'cuda', tf32: true });
  expect(() => parseBenchArguments(['--tf32'])).toThrow('--tf32 is for GPUs; --device is cpu');
  expect(() => parseBenchArguments(['--tf32', '--device', 'cuda', '--precision', 'bf16'])).toThrow(
    '--tf32 is a way to multiply float32; --precision is bf16',
  );
  expect(() => parseBenchArguments(['--device', 'gpu'])).toThrow("--device is 'gpu'; it must be cpu, cuda or cuda:N");
  expect(() => parseBenchArguments(['--device', 'cuda', '--isa', 'avx2'])).toThrow('--isa holds a CPU');
  expect(() => parseBenchArguments(['roofline', '--device', 'cuda'])).toThrow(
    'roofline measures what the CPU could do',
  );
});

test.each([
  [['opz'], `there is no suite 'opz'; there are ${suites.map(({ name }) => name).join(', ')}`],
  [['--peer', 'pytorch,jax'], "--peer: there is no peer 'jax'; there are pytorch, onnxruntime"],
  [['--precision', 'fp16'], "--precision is 'fp16'; it must be fp32 or bf16 or bf16-fast"],
  [['--isa', 'sse2'], "--isa is 'sse2'; it must be avx2"],
  [['--configs', 'S,XL'], "--configs: there is no configuration 'XL'; there are S, M, L"],
  [['--configs', ''], "--configs: there is no configuration ''; there are S, M, L"],
  [['--threads', '0'], "--threads is '0'; it must be an integer from 1 to 1024"],
  [['--threads', '2.5'], "--threads is '2.5'; it must be an integer from 1 to 1024"],
  [['--thread', '2'], "Unknown option '--thread'; see pnpm bench --help"],
  [['--json'], "Option '--json <value>' argument missing; see pnpm bench --help"],
  [['--json', ''], '--json: the name of the file is empty'],
  [['compare', 'a.json'], 'compare takes two files, BEFORE.json and AFTER.json; 1 given'],
  [['--roofline', 'ops'], "roofline takes no 'ops'; the networks are chosen by --configs"],
  [['profile', 'S'], "profile takes no 'S'; the networks are chosen by --configs"],
])('%j is refused in one line', async (args, message) => {
  const lines: string[] = [];
  const code = await benchCommand(args, { out: (text) => lines.push(text), error: (text) => lines.push(text) });
  expect(lines).toEqual([`bench: ${message}`]);
  expect(code).toBe(2);
});

test('files to compare that are missing or foreign are named', async () => {
  const lines: string[] = [];
  const output = { out: (text: string) => lines.push(text), error: (text: string) => lines.push(text) };
  expect(await benchCommand(['compare', '/no/such/file.json', 'b'], output)).toBe(2);
  expect(lines[0]).toContain('/no/such/file.json');
  const foreign = new URL('../configs.json', import.meta.url).pathname;
  expect(await benchCommand(['compare', foreign, foreign], output)).toBe(2);
  expect(lines[1]).toContain('machine is missing; expected a file written by pnpm bench --json');
});

test('a result file that cannot be written is found out before anything is measured', async () => {
  const lines: string[] = [];
  const output = { out: (text: string) => lines.push(text), error: (text: string) => lines.push(text) };
  expect(await benchCommand(['ops', '--json', '/no/such/folder/a.json'], output)).toBe(2);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('--json: cannot write /no/such/folder/a.json');
});

test('help lists every suite and flag', async () => {
  const lines: string[] = [];
  expect(await benchCommand(['--help'], { out: (text) => lines.push(text), error: () => undefined })).toBe(0);
  const flags = ['--peer', '--json', '--quick', '--configs', '--threads', '--precision', '--isa'];
  for (const word of [...suites.map(({ name }) => name), ...flags, 'compare', 'profile']) {
    expect(lines[0]).toContain(word);
  }
});
