import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RunFolder, readRunFolder, writeRunFolder } from '../../src/checkpoint/run-folder.ts';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import type { SchedulerDescription } from '../../src/checkpoint/scheduler-config.ts';
import { loadWeights, writeParameters } from '../../src/checkpoint/weights-file.ts';
import { fileOrder, fileShape, type ParameterLayout, parameterSize } from '../../src/models/parameter-layout.ts';
import type { UNet2D } from '../../src/models/unet2d.ts';
import { configFromDiffusers } from '../../src/models/unet2d-config.ts';
import { unet2dParameters } from '../../src/models/unet2d-parameters.ts';
import { parameterTable } from '../../src/models/weights.ts';
import { openDevice } from '../../src/native/device.ts';
import { expectDiffuseError, failureOf, golden, scratchFolder } from './folders.ts';

const WEIGHTS = 'diffusion_pytorch_model.safetensors';
const pipelines = ['unet-ddpm-tiny', 'unet-heads-tiny'];

const readText = (...parts: string[]): Promise<string> => readFile(golden(...parts), 'utf8');
const describeKey = (parameter: ParameterLayout): string => `${parameter.name} [${fileShape(parameter).join(',')}]`;

interface KeyCases {
  cases: { name: string; config: unknown; keys: string[] }[];
  large: { name: string; config: unknown; tensors: number; parameters: number }[];
}
const { cases, large }: KeyCases = JSON.parse(await readText('unet-keys.json'));

describe('the parameters of a U-Net', () => {
  test.each(cases)("$name: names, file shapes and order are diffusers'", ({ config, keys }) => {
    expect(unet2dParameters(configFromDiffusers(config)).map(describeKey)).toEqual(keys);
  });

  test.each(large)('$name: $tensors tensors, $parameters parameters', ({ config, tensors, parameters }) => {
    const list = unet2dParameters(configFromDiffusers(config));
    expect(list).toHaveLength(tensors);
    expect(list.reduce((sum, parameter) => sum + parameterSize(parameter), 0)).toBe(parameters);
  });

  test('google/ddpm-cifar10-32: 328 tensors, 35,746,307 parameters', async () => {
    const [counts, ...lines] = (await readText('unet-cifar10-keys.txt')).trim().split('\n');
    const config = configFromDiffusers({
      sample_size: 32,
      attention_head_dim: null,
      block_out_channels: [128, 256, 256, 256],
      down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
      up_block_types: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    });
    const list = unet2dParameters(config);
    const keys = list.map((p) => `${p.name} (${fileShape(p).join(', ')}${p.shape.length === 1 ? ',' : ''})`);
    expect(keys).toEqual(lines);
    expect(`${list.length} ${list.reduce((sum, p) => sum + parameterSize(p), 0)}`).toBe(counts);
    expect(counts).toBe('328 35746307');
  });
});

describe('storage order', () => {
  const convolution: ParameterLayout = { name: 'c', shape: [3, 1, 2, 4], layout: 'convolution' };
  const linear: ParameterLayout = { name: 'l', shape: [5, 7], layout: 'linear' };
  const plain: ParameterLayout = { name: 'p', shape: [3, 2], layout: 'plain' };

  test('shapes and orders', () => {
    expect(fileShape(convolution)).toEqual([4, 2, 3, 1]);
    expect(fileOrder(convolution)).toEqual({ taps: 3, inputs: 2, outputs: 4 });
    expect(fileShape(linear)).toEqual([7, 5]);
    expect(fileOrder(linear)).toEqual({ taps: 1, inputs: 5, outputs: 7 });
    expect(fileShape(plain)).toEqual([3, 2]);
    expect(fileOrder(plain)).toBeUndefined();
  });

  test('the device moves elements to the order of files, and back', async () => {
    using device = await openDevice('cpu', { threads: 3 });
    using buffer = device.allocate(4 * 2 ** 16);
    const shape = fc.oneof(
      fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 20 })),
      fc.constant([1, 1, 17] as const),
    );
    await fc.assert(
      fc.asyncProperty(shape, fc.integer({ min: 1, max: 70 }), async ([kh, kw, inputs], outputs) => {
        const parameter: ParameterLayout = { name: 'c', shape: [kh, kw, inputs, outputs], layout: 'convolution' };
        const count = parameterSize(parameter);
        const native = Float32Array.from({ length: count }, (_, i) => i);
        await buffer.write(16, native);
        const file = await buffer.read(16, count, fileOrder(parameter));
        file.forEach((value, position) => {
          const x = position % kw;
          const y = Math.floor(position / kw) % kh;
          const input = Math.floor(position / (kw * kh)) % inputs;
          const output = Math.floor(position / (kw * kh * inputs));
          expect(value).toBe(((y * kw + x) * inputs + input) * outputs + output);
        });
        await buffer.write(16, new Float32Array(count));
        await buffer.write(16, file, fileOrder(parameter));
        expect(await buffer.read(16, count)).toEqual(native);
      }),
      { numRuns: 100, seed: 11 },
    );
  });

  test('an order that is not that of the elements is refused', async () => {
    using device = await openDevice('cpu');
    using buffer = device.allocate(4 * 64);
    const refusal = { code: 'ERR_SHAPE', message: expect.stringContaining('35 elements was given for 36') };
    await expect(buffer.write(0, new Float32Array(36), fileOrder(linear))).rejects.toMatchObject(refusal);
    await expect(buffer.read(0, 36, fileOrder(linear))).rejects.toMatchObject(refusal);
  });
});

interface Pipeline extends RunFolder {
  readonly model: UNet2D;
  readonly parameters: readonly ParameterLayout[];
  readonly scheduler: SchedulerDescription;
}

/** A folder of a `UNet2DModel`. */
async function readPipeline(directory: string): Promise<Pipeline> {
  const folder = await readRunFolder(directory, 'unet2d');
  const model = folder.model as UNet2D;
  return { ...folder, model, parameters: model.parameters, scheduler: folder.scheduler as SchedulerDescription };
}

/** Loads weights to a device and reads them back in the order of files. */
async function loadAll(path: string, parameters: readonly ParameterLayout[]): Promise<Map<string, Float32Array>> {
  using device = await openDevice('cpu', { threads: 2 });
  const table = parameterTable(parameters);
  using buffer = await loadWeights(path, table, device);
  const entries = table.slots.map(async (slot) => {
    return [slot.name, await buffer.read(slot.offset, parameterSize(slot), fileOrder(slot))] as const;
  });
  return new Map(await Promise.all(entries));
}

describe('weights', () => {
  test.each(pipelines)('%s: read and written again, tensor for tensor', async (name) => {
    const { parameters, weightsPath } = await readPipeline(golden(name));
    const all = await loadAll(weightsPath, parameters);
    await using original = await openSafetensors(weightsPath);
    const copy = join(await scratchFolder(), WEIGHTS);
    await writeParameters(copy, parameters, ({ name: key }) => all.get(key) as Float32Array);
    await using written = await openSafetensors(copy);
    expect(written.metadata).toEqual({ format: 'pt' });
    expect(written.tensors.size).toBe(original.tensors.size);
    for (const [key, { shape, dtype }] of original.tensors) {
      expect(written.tensors.get(key)).toMatchObject({ shape, dtype });
      expect(await written.read(key)).toEqual(await original.read(key));
    }
  });

  /** A copy of the small pipeline's weights under other names, without some, or with more. */
  async function rewrite(
    rename: (key: string) => string | undefined,
    extra?: string,
  ): Promise<[string, readonly ParameterLayout[]]> {
    const { parameters, weightsPath } = await readPipeline(golden('unet-heads-tiny'));
    const path = join(await scratchFolder(), WEIGHTS);
    await using file = await openSafetensors(weightsPath);
    const sources = [...file.tensors].flatMap(([key, { shape }]) => {
      const name = rename(key);
      return name === undefined ? [] : [{ name, dtype: 'F32' as const, shape, data: () => file.read(key) }];
    });
    if (extra) sources.push({ name: extra, dtype: 'F32', shape: [1], data: async () => new Float32Array(1) });
    await writeSafetensors(path, sources);
    return [path, parameters];
  }
  test('the names of early files are understood', async () => {
    const [now, parameters] = await rewrite((key) => key);
    const [early] = await rewrite((key) =>
      key
        .replace('.to_q.', '.query.')
        .replace('.to_k.', '.key.')
        .replace('.to_v.', '.value.')
        .replace('.to_out.0.', '.proj_attn.'),
    );
    await using file = await openSafetensors(early);
    expect(file.tensors.has('mid_block.attentions.0.proj_attn.weight')).toBe(true);
    expect(file.tensors.has('mid_block.attentions.0.to_out.0.weight')).toBe(false);
    expect(await loadAll(early, parameters)).toEqual(await loadAll(now, parameters));
  });

  test('half and double precision are converted on the way', async () => {
    const { parameters, weightsPath } = await readPipeline(golden('unet-ddpm-tiny'));
    const expected = await loadAll(weightsPath, parameters);
    await using file = await openSafetensors(weightsPath);
    const path = join(await scratchFolder(), WEIGHTS);
    const doubles = [...file.tensors].map(([name, { shape }]) => ({
      name,
      dtype: 'F64' as const,
      shape,
      data: async () => Float64Array.from(await file.readFloat32(name)),
    }));
    await writeSafetensors(path, doubles);
    expect(await loadAll(path, parameters)).toEqual(expected);
  });

  test('a file that is cut off while it is open is named with the place', async () => {
    const { parameters, weightsPath } = await readPipeline(golden('unet-ddpm-tiny'));
    const path = join(await scratchFolder(), WEIGHTS);
    await cp(weightsPath, path);
    using device = await openDevice('cpu', { threads: 2 });
    const { slots, size } = parameterTable(parameters);
    using buffer = device.allocate(4 * size);
    await using file = await openSafetensors(path);
    await truncate(path, 40_000);
    const cut = /was cut off at byte \d+ while it was open/;
    const loads = slots.map(
      (slot) => () => file.loadFloat32(slot.name, buffer, { offset: slot.offset, order: fileOrder(slot) }),
    );
    const outcomes = await Promise.allSettled(loads.map((load) => load()));
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(failed.length).toBeGreaterThan(10);
    for (const { reason } of failed) expectDiffuseError(reason, 'ERR_CHECKPOINT', path, cut);
  });

  test('what does not fit the network is named', async () => {
    const [lacking, parameters] = await rewrite((key) => (key.startsWith('mid_block') ? undefined : key));
    const lacks = /lacks mid_block\S+, mid_block\S+, mid_block\S+ and \d+ more of the network in config\.json/;
    expectDiffuseError(await failureOf(() => loadAll(lacking, parameters)), 'ERR_CHECKPOINT', lacking, lacks);
    const [more] = await rewrite((key) => key, 'class_embedding.weight');
    const has = /has class_embedding\.weight that the network/;
    expectDiffuseError(await failureOf(() => loadAll(more, parameters)), 'ERR_CHECKPOINT', more, has);
    const [twice] = await rewrite((key) => key, 'mid_block.attentions.0.query.bias');
    const same = /mid_block\.attentions\.0\.query\.bias are the same parameter/;
    expectDiffuseError(await failureOf(() => loadAll(twice, parameters)), 'ERR_CHECKPOINT', twice, same);
    const [file] = await rewrite((key) => key);
    const wider = parameters.map((p) => (p.name === 'conv_in.bias' ? { ...p, shape: [17] } : p));
    const shape = /conv_in\.bias is \[16\]; the network in config\.json needs \[17\]/;
    expectDiffuseError(await failureOf(() => loadAll(file, wider)), 'ERR_CHECKPOINT', file, shape);
  });
});

describe('pipeline folders', () => {
  const copyPipeline = async (): Promise<string> => {
    const folder = join(await scratchFolder(), 'pipeline');
    await cp(golden('unet-heads-tiny'), folder, { recursive: true });
    return folder;
  };

  test('the present layout, with and without averaged weights', async () => {
    const folder = await copyPipeline();
    const plain = await readPipeline(folder);
    expect(plain.model.config).toMatchObject({ sampleSize: [16, 16], inChannels: 1, attentionHeadDim: 8 });
    expect(plain.scheduler).toMatchObject({ predict: 'v', schedule: { name: 'cosine' } });
    expect(plain.weightsPath).toBe(join(folder, 'unet', WEIGHTS));
    expect(plain).not.toHaveProperty('emaWeightsPath');
    await cp(join(folder, 'unet'), join(folder, 'unet_ema'), { recursive: true });
    expect((await readPipeline(folder)).emaWeightsPath).toBe(join(folder, 'unet_ema', WEIGHTS));
  });

  test('the flat layout of early repositories', async () => {
    const folder = await copyPipeline();
    await rename(join(folder, 'unet', 'config.json'), join(folder, 'config.json'));
    await rename(join(folder, 'unet', WEIGHTS), join(folder, WEIGHTS));
    await rename(join(folder, 'scheduler', 'scheduler_config.json'), join(folder, 'scheduler_config.json'));
    expect(await readPipeline(folder)).toEqual({
      ...(await readPipeline(golden('unet-heads-tiny'))),
      weightsPath: join(folder, WEIGHTS),
    });
  });

  test('what is written is what is read', async () => {
    const { model, parameters, scheduler } = await readPipeline(golden('unet-ddpm-tiny'));
    const folder = join(await scratchFolder(), 'new', 'run');
    const { weightsPath, emaWeightsPath } = await writeRunFolder(folder, { model, scheduler, ema: true });
    const zeros = (parameter: ParameterLayout): Float32Array => new Float32Array(parameterSize(parameter));
    await writeParameters(weightsPath, parameters, zeros);
    await writeParameters(emaWeightsPath, parameters, zeros);
    const read = await readPipeline(folder);
    expect(read).toMatchObject({ kind: 'unet2d', scheduler, weightsPath, emaWeightsPath });
    expect(read.model.config).toEqual(model.config);
    const index = JSON.parse(await readFile(join(folder, 'model_index.json'), 'utf8'));
    const original = JSON.parse(await readText('unet-ddpm-tiny', 'model_index.json'));
    expect({ ...index, _diffusers_version: original._diffusers_version }).toEqual(original);
  });

  test.each<[string, (folder: string) => Promise<unknown>, RegExp]>([
    ['an empty folder', (f) => rm(f, { recursive: true }).then(() => mkdir(f)), /has none of unet\/config\.json/],
    ['no folder', (f) => rm(f, { recursive: true }), /no such file or directory/],
    ['a file', (f) => rm(f, { recursive: true }).then(() => writeFile(f, '')), /is not a folder/],
    [
      'no weights',
      (f) => rm(join(f, 'unet', WEIGHTS)),
      /has no weights; expected diffusion_pytorch_model\.safetensors/,
    ],
    ['no scheduler', (f) => rm(join(f, 'scheduler'), { recursive: true }), /has no noise schedule; expected scheduler/],
    ['broken JSON', (f) => writeFile(join(f, 'unet', 'config.json'), '{'), /config\.json is not JSON/],
    [
      'endless JSON',
      (f) => writeFile(join(f, 'unet', 'config.json'), ' '.repeat(2 ** 20 + 1)),
      /expected a JSON file below/,
    ],
    [
      'a bad value',
      (f) => writeFile(join(f, 'unet', 'config.json'), '{"sample_size":3}'),
      /unet\/config\.json: sample_size/,
    ],
    [
      'another pipeline',
      (f) => writeFile(join(f, 'model_index.json'), '{"unet":["diffusers","UNet2DConditionModel"]}'),
      /model_index\.json: unet is .*UNet2DConditionModel.*; expected/,
    ],
    [
      'a pickle',
      (f) => rename(join(f, 'unet', WEIGHTS), join(f, 'unet', 'diffusion_pytorch_model.bin')),
      /diffusion_pytorch_model\.bin is a Python pickle, which can run any code when it is read, so it is refused/,
    ],
    [
      'shards',
      (f) => rename(join(f, 'unet', WEIGHTS), join(f, 'unet', `${WEIGHTS}.index.json`)),
      /the weights are split into shards/,
    ],
    ['averages without weights', (f) => mkdir(join(f, 'unet_ema')), /unet_ema has no weights/],
    [
      'averages of another network',
      async (f) => {
        await cp(join(f, 'unet'), join(f, 'unet_ema'), { recursive: true });
        const path = join(f, 'unet_ema', 'config.json');
        const config = JSON.parse(await readFile(path, 'utf8'));
        await writeFile(path, JSON.stringify({ ...config, layers_per_block: 2 }));
      },
      /unet_ema\/config\.json: layers_per_block is 2; expected 1, as in unet.config\.json/,
    ],
  ])('%s: one clear line', async (_, damage, message) => {
    const folder = await copyPipeline();
    await damage(folder);
    expectDiffuseError(await failureOf(() => readRunFolder(folder)), 'ERR_CHECKPOINT', message);
  });

  test('diffusers in Python loads what diffuse writes', async ({ skip }) => {
    const python = process.env.PYTHON ?? skip('PYTHON does not name an interpreter with diffusers');
    await promisify(execFile)(python, ['-c', 'import diffusers']).catch(() => skip('PYTHON has no diffusers'));
    const source = golden('unet-ddpm-tiny');
    const { model, parameters, scheduler, weightsPath } = await readPipeline(source);
    const folder = join(await scratchFolder(), 'run');
    const paths = await writeRunFolder(folder, { model, scheduler });
    const all = await loadAll(weightsPath, parameters);
    await writeParameters(paths.weightsPath, parameters, ({ name }) => all.get(name) as Float32Array);
    const script = [
      'import sys, torch',
      'from diffusers import DDPMPipeline',
      'a, b = (DDPMPipeline.from_pretrained(path) for path in sys.argv[1:])',
      'a_state, b_state = a.unet.state_dict(), b.unet.state_dict()',
      'assert list(a_state) == list(b_state)',
      'assert all(torch.equal(a_state[key], b_state[key]) for key in a_state)',
      'drop = lambda config: {k: v for k, v in config.items() if not k.startswith("_")}',
      'assert drop(a.unet.config) == drop(b.unet.config), (a.unet.config, b.unet.config)',
      'assert drop(a.scheduler.config) == drop(b.scheduler.config)',
      'print("same")',
    ].join('\n');
    const { stdout } = await promisify(execFile)(python, ['-c', script, source, folder]);
    expect(stdout.trim()).toBe('same');
  });
});
