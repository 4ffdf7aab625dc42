import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ModelKind } from '../../src/checkpoint/model-kinds.ts';
import { type LoadedRun, loadRun, loadTrainingState, runKind } from '../../src/checkpoint/run.ts';
import type { RunKind } from '../../src/checkpoint/run-location.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { contentOf, expectDiffuseError, failureOf, scratchFolder } from './folders.ts';
import { savedRun, seed, steps, subjects, trainTo } from './run-subjects.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const kinds = Object.keys(subjects) as ModelKind[];

const weightsOf = async ({ weights }: LoadedRun<RunKind>['model'], average = false): Promise<Float32Array> => {
  const buffer = average ? weights?.ema : weights?.parameters;
  return (buffer as NonNullable<typeof buffer>).read(0, weights?.table.size ?? 0);
};

describe.each(kinds)('a run of kind %s', (kind) => {
  test('resumes with the same bytes as without stopping', async () => {
    const folder = await scratchFolder();
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')];
    const log = await trainTo(steps, subjects[kind](), { device, folder: whole });
    const begun = await trainTo(2, subjects[kind](), { device, folder: parts });
    const again = subjects[kind]();
    const { fingerprint } = again.data;
    const resume = await loadTrainingState(parts, { device, model: again.parts.model, ema: true, fingerprint, seed });
    expect(resume.step).toBe(2);
    expect([...begun, ...(await trainTo(steps, again, { device, folder: parts, resume }))]).toEqual(log);
    const [expected, found] = [await contentOf(whole), await contentOf(parts)];
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [name, bytes] of expected) expect(found.get(name)?.equals(bytes), name).toBe(true);
  });

  test('is loaded as it was saved, by its kind', async () => {
    const folder = join(await scratchFolder(), 'run');
    const subject = subjects[kind]();
    await trainTo(2, subject, { device, folder });
    const { model, classNames } = subject.parts;
    expect(await runKind(folder)).toBe(kind);
    for (const ema of [true, false]) {
      const run = await loadRun(folder, { device, ema, kind });
      expect(run.kind).toBe(kind);
      expect(run.model.kind).toBe(kind);
      expect(run.model.config).toEqual(model.config);
      expect(run.model.shape).toEqual(model.shape);
      expect(run.model.classes).toBe(model.classes);
      expect(run.classNames).toEqual(classNames);
      expect(await weightsOf(run.model)).toEqual(await weightsOf(model, ema));
    }
  });

  test('is refused, by name, where another kind is expected', async () => {
    const folder = await savedRun(device, kind);
    const other = kind === 'mlp' ? 'classifier' : 'mlp';
    const message = new RegExp(`holds an? .*, of kind '${kind}'; expected an? .*, of kind '${other}'$`);
    expectDiffuseError(
      await failureOf(() => loadRun(folder, { device, kind: other })),
      'ERR_CHECKPOINT',
      folder,
      message,
    );
    if (kind !== 'unet2d') {
      expectDiffuseError(
        await failureOf(() => loadRun(folder, { device })),
        'ERR_CHECKPOINT',
        /expected a U-Net for images/,
      );
    }
  });

  test('whatever its configuration says, it loads or is refused in one line that names the file', async () => {
    const folder = await savedRun(device, kind);
    const part = { unet2d: 'unet', autoencoder: 'vae' }[kind as string] ?? 'model';
    const path = join(folder, part, 'config.json');
    const config: Record<string, unknown> = JSON.parse(await readFile(path, 'utf8'));
    const lies = [null, -1, 0, 1.5, 3, 2 ** 30, '8', true, [], [0], [4, 8, 16], [1e9], {}, undefined];
    for (const key of Object.keys(config).filter((name) => name !== '_diffusers_version')) {
      for (const lie of lies) {
        await writeFile(path, JSON.stringify({ ...config, [key]: lie }));
        const failure = await failureOf(() => loadRun(folder, { device, kind }));
        if (failure !== undefined) expectDiffuseError(failure, 'ERR_CHECKPOINT', folder);
      }
    }
    await writeFile(path, JSON.stringify({ ...config, surplus: 1 }));
    const failure = await failureOf(() => loadRun(folder, { device, kind }));
    expectDiffuseError(failure, 'ERR_CHECKPOINT', `${path}: surplus is 1; diffuse does not know this key`);
  });

  test('names what is missing', async () => {
    const folder = await savedRun(device, kind);
    const part = { unet2d: 'unet', autoencoder: 'vae' }[kind as string] ?? 'model';
    const load = () => loadRun(folder, { device, kind });
    const weights = kind === 'unet2d' ? 'diffusion_pytorch_model.safetensors' : 'model.safetensors';
    await rm(join(folder, `${part}_ema`, weights));
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', `${part}_ema has no weights; expected ${weights}`);
    await rm(join(folder, `${part}_ema`), { recursive: true });
    expect((await load()).kind).toBe(kind);
    await rm(join(folder, part, weights));
    expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', `${part} has no weights; expected ${weights}`);
    if (!['classifier', 'autoencoder'].includes(kind)) {
      await rm(join(folder, 'scheduler'), { recursive: true });
      expectDiffuseError(await failureOf(load), 'ERR_CHECKPOINT', /has no noise schedule; expected scheduler/);
    }
    await rm(join(folder, part, 'config.json'));
    expectDiffuseError(
      await failureOf(load),
      'ERR_CHECKPOINT',
      /is not the folder of a run: it has none of unet\/config/,
    );
  });

  test('without model_index.json it is known by its configuration', async () => {
    const folder = await savedRun(device, kind);
    await rm(join(folder, 'model_index.json'));
    expect((await loadRun(folder, { device, kind })).kind).toBe(kind);
  });
});
