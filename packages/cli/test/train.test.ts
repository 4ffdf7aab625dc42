import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  contentOf,
  ended,
  jsonLines,
  pngSize,
  resultOf,
  run,
  start,
  temporaryFolder,
  tinyIdx,
  tinyImages,
  tinyModel,
} from './helpers.ts';

let folder: string;
let photos: string;
let cache: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(join(folder, 'photos'));
  cache = join(folder, 'cache');
});

const train = (out: string, ...flags: string[]): ReturnType<typeof run> =>
  run('train', '--out', join(folder, out), '--data', photos, '--cache-dir', cache, ...tinyModel, ...flags);

describe('a run', () => {
  test('leaves the files of a run, and lines for people on stderr', async () => {
    const { code, stdout, stderr } = await train('whole', '--steps=6', '--preview-every=3', '--checkpoint-every=4');
    expect(stderr).toContain('data: photos, 24 images of 8 x 8, grey');
    expect(stderr).toContain('step 4: checkpoint');
    expect(stderr).toContain('step 6: checkpoint');
    expect(stdout).toBe(`${join(folder, 'whole')}\n`);
    expect(code).toBe(0);
    expect([...(await contentOf(join(folder, 'whole'))).keys()]).toEqual([
      'config.yaml',
      'metrics.jsonl',
      'model_index.json',
      'previews/step-000003.png',
      'previews/step-000006.png',
      'scheduler/scheduler_config.json',
      'state.safetensors',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'unet_ema/config.json',
      'unet_ema/diffusion_pytorch_model.safetensors',
    ]);
    expect(await pngSize(join(folder, 'whole/previews/step-000003.png'))).toEqual([4 * 64 + 6, 4 * 64 + 6]);
  });

  test('--tf32 says where it changes nothing', async () => {
    const { code, stderr } = await train('tf32', '--steps=1', '--tf32');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^--tf32 changes nothing here: the CPU multiplies float32 in full$/m);
    expect(stderr).toMatch(/on cpu .*, fp32;/);
    expect(await readFile(join(folder, 'tf32/config.yaml'), 'utf8')).toMatch(/^tf32: true$/m);
  });

  test('metrics are one line a step with nothing measured in them', async () => {
    const lines = jsonLines(await readFile(join(folder, 'whole/metrics.jsonl'), 'utf8'));
    expect(lines.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(['step', 'loss', 'gradientNorm', 'learningRate']);
      expect(line.loss).toBeGreaterThan(0);
    }
  });

  test('--json prints events and nothing else on stdout; --quiet silences stderr', async () => {
    const { stdout, stderr } = await train('json', '--steps=2', '--json', '--quiet');
    expect(stderr).toBe('');
    expect(jsonLines(stdout).map(({ event }) => event)).toEqual([
      'data',
      'begin',
      'step',
      'step',
      'checkpoint',
      'done',
    ]);
  });

  test('is refused where a run is already, which stays as it was', async () => {
    const before = await resultOf(join(folder, 'whole'));
    const { code, stderr } = await train('whole', '--steps=9');
    expect(stderr).toMatch(/^diffuse: --out .*whole holds a run already; go on with it by --resume, or give another/);
    expect(code).toBe(2);
    expect(await resultOf(join(folder, 'whole'))).toEqual(before);
  });

  test('its configuration makes the same run again', async () => {
    const config = join(folder, 'whole/config.yaml');
    const { code } = await run('train', '--config', config, '--out', join(folder, 'again'));
    expect(code).toBe(0);
    expect(await resultOf(join(folder, 'again'))).toEqual(await resultOf(join(folder, 'whole')));
  });

  test('IDX files with labels make a conditional model', async () => {
    const { images, labels } = await tinyIdx(folder);
    const out = join(folder, 'digits');
    const flags = ['--data', images, '--labels', labels, '--steps=2', '--out', out];
    expect((await run('train', ...flags, ...tinyModel)).code).toBe(0);
    expect(JSON.parse(await readFile(join(out, 'classes.json'), 'utf8'))).toEqual(['0', '1', '2']);
    expect(JSON.parse(await readFile(join(out, 'unet/config.json'), 'utf8'))).toMatchObject({ num_class_embeds: 3 });
  });

  test('--epochs counts passes over the data', async () => {
    const { stdout } = await train('epochs', '--epochs=1.5', '--json', '--quiet');
    expect(jsonLines(stdout).at(-1)).toMatchObject({ event: 'done', step: 9, steps: 9 });
  });

  test('--minutes measures how many steps fit and ends in time', async () => {
    const begin = performance.now();
    const { stderr, code } = await train('timed', '--minutes=0.1', '--lr-schedule=cosine');
    expect(performance.now() - begin).toBeLessThan(20_000);
    expect(stderr).toMatch(/one step takes \d+ ms: \d+ steps fit into 0.1 minutes/);
    expect(code).toBe(0);
  });

  test('a damaged file is named and counted, and fails the run with --strict', async () => {
    const damaged = join(folder, 'damaged');
    await cp(photos, damaged, { recursive: true });
    await writeFile(join(damaged, 'bad.png'), Buffer.from('89504e470d0a1a0a00', 'hex'));
    const flags = ['--data', damaged, '--cache-dir', cache, ...tinyModel, '--steps=1'];
    const lenient = await run('train', '--out', join(folder, 'lenient'), ...flags);
    expect(lenient.stderr).toMatch(/left out bad.png: .+\n1 files left out in all/);
    expect(lenient.code).toBe(0);
    const strict = await run('train', '--out', join(folder, 'strict'), ...flags, '--strict');
    expect(strict.stderr).toMatch(/diffuse: .*bad.png/);
    expect(strict.code).toBe(2);
  });
});

describe('resuming', () => {
  test.each([
    ['plain', []],
    [
      'with dropout, flips, accumulation and a cosine',
      ['--dropout=0.1', '--flip', '--accumulate=2', '--lr-schedule=cosine'],
    ],
    ['in bf16', ['--precision=bf16', '--model-channels=16,32']],
  ])('%s: k steps and N - k more, with other threads, are the same bytes as N', async (name, flags) => {
    const whole = `${name} whole`;
    const parts = `${name} parts`;
    expect((await train(whole, '--steps=8', '--threads=1', ...flags)).code).toBe(0);
    const out = join(folder, parts);
    expect((await train(parts, '--steps=8', '--threads=2', '--checkpoint-every=3', ...flags)).code).toBe(0);
    // As if the process had been killed at step 7: the checkpoint of step 3 and metrics beyond it.
    const early = `${name} early`;
    await stopAt(early, 3, flags);
    await cp(join(folder, early, 'state.safetensors'), join(out, 'state.safetensors'));
    const { code, stderr } = await run('train', '--resume', '--out', out, '--threads=2');
    expect(stderr).toContain('step 8: checkpoint');
    expect(code).toBe(0);
    expect(await resultOf(out)).toEqual(await resultOf(join(folder, whole)));
  });

  /** A run of 8 steps that is interrupted by its user at a step. */
  async function stopAt(out: string, step: number, flags: readonly string[]): Promise<void> {
    const args = ['--data', photos, '--cache-dir', cache, ...tinyModel, ...flags, '--steps=8', '--json', '--quiet'];
    const { runCli } = await import('../src/index.ts');
    const code = await runCli(['train', '--out', join(folder, out), ...args], {
      stdout: { write: (line) => line.includes(`"step":${step},"loss"`) && process.emit('SIGINT', 'SIGINT') },
      stderr: { write: () => undefined },
    });
    expect(code).toBe(130);
  }

  test('goes further with more steps, and says so when there is nothing to do', async () => {
    const out = join(folder, 'whole');
    expect((await run('train', '--resume', '--out', out)).stderr).toContain('the run is at step 6 of 6 already');
    const { stderr, code } = await run('train', '--resume', '--out', out, '--steps=8');
    expect(stderr).toContain('trained 2 steps to step 8');
    expect(code).toBe(0);
    expect(await readFile(join(out, 'config.yaml'), 'utf8')).toContain('steps: 8');
  });

  test.each([
    ['--seed=1', /^diffuse: --seed cannot change when a run is resumed \(it was 0, see .*config.yaml\)/],
    ['--batch-size=8', /^diffuse: --batch-size cannot change when a run is resumed \(it was 4/],
    ['--model-channels=8,8', /^diffuse: --model-channels cannot change when a run is resumed \(it was 8,16/],
    ['--predict=eps', /^diffuse: --predict cannot change/],
    ['--precision=bf16', /^diffuse: --precision cannot change when a run is resumed \(it was fp32/],
    ['--preset=mnist', /^diffuse: --preset cannot change/],
    ['--config=other.yaml', /^diffuse: --config cannot be given with --resume/],
  ])('refuses %s', async (flag, message) => {
    const { code, stderr } = await run('train', '--resume', '--out', join(folder, 'whole'), flag);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  test('refuses other data, and accepts the same data elsewhere', async () => {
    const other = await tinyImages(join(folder, 'other'), 12);
    const out = join(folder, 'whole');
    const refused = await run('train', '--resume', '--out', out, '--data', other, '--steps=10');
    expect(refused.stderr).toMatch(/diffuse: .*state.safetensors: was made with other data/);
    expect(refused.code).toBe(2);
    const moved = join(folder, 'moved');
    await cp(photos, moved, { recursive: true });
    expect((await run('train', '--resume', '--out', out, '--data', moved, '--steps=10')).code).toBe(0);
  });

  test('a damaged checkpoint is named', async () => {
    const out = join(folder, 'torn');
    await cp(join(folder, 'whole'), out, { recursive: true });
    const state = await readFile(join(out, 'state.safetensors'));
    await writeFile(join(out, 'state.safetensors'), state.subarray(0, state.length - 100));
    const { code, stderr } = await run('train', '--resume', '--out', out, '--steps=12');
    expect(stderr).toMatch(/\ndiffuse: .*state.safetensors/);
    expect(code).toBe(2);
  });

  test('a run that was killed before its first checkpoint begins again', async () => {
    const out = join(folder, 'early death');
    await mkdir(out);
    await cp(join(folder, 'json/config.yaml'), join(out, 'config.yaml'));
    await writeFile(join(out, 'metrics.jsonl'), '{"step":1,"loss":0.5,"gradi');
    const { code, stderr } = await run('train', '--resume', '--out', out);
    expect(stderr).toContain('has no checkpoint yet: the run begins again');
    expect(code).toBe(0);
    expect(await resultOf(out)).toEqual(await resultOf(join(folder, 'json')));
  });
});

describe('when a run goes wrong', () => {
  test('numbers that overflow end it with the step and the tensor; the checkpoint stays', async () => {
    // AdamW moves each weight by about the learning rate: the second forward pass leaves float32.
    const { code, stderr } = await train('overflow', '--steps=60', '--lr=1e30', '--warmup=0', '--checkpoint-every=1');
    expect(stderr).toMatch(
      /\ndiffuse: step 2: time_embedding\.\S+ \(y\) holds an infinity; the weights are as they were/,
    );
    expect(stderr).toContain('The last checkpoint');
    expect(code).toBe(1);
    const out = join(folder, 'overflow');
    expect(
      (await run('sample', '--model', out, '--out', join(folder, 'x.png'), '-n=1', '--steps=1')).stderr,
    ).not.toContain('safetensors');
    expect(existsSync(join(out, 'state.safetensors'))).toBe(true);
  });

  test('Ctrl-C leaves a durable checkpoint and exit code 130; the rest can follow', { timeout: 120_000 }, async () => {
    const flags = [
      '--data',
      photos,
      '--cache-dir',
      cache,
      ...tinyModel,
      '--steps=400',
      '--json',
      '--checkpoint-every=0',
    ];
    const out = join(folder, 'interrupted');
    const child = start('train', '--out', out, ...flags);
    const end = ended(child);
    let seen = '';
    child.stdout?.on('data', (text: string) => {
      const before = seen;
      seen += text;
      const fifth = '"event":"step","step":5,';
      if (seen.includes(fifth) && !before.includes(fifth)) child.kill('SIGINT');
    });
    const { code, stdout, stderr } = await end;
    expect(code).toBe(130);
    expect(stderr).toContain('stopping after this step');
    const checkpoint = jsonLines(stdout).find(({ event }) => event === 'checkpoint');
    expect(checkpoint?.step).toBeGreaterThanOrEqual(5);
    expect(checkpoint?.step).toBeLessThan(400);
    expect((await run('train', '--resume', '--out', out)).code).toBe(0);
    expect((await run('train', '--out', join(folder, 'uninterrupted'), ...flags, '--quiet')).code).toBe(0);
    expect(await resultOf(out)).toEqual(await resultOf(join(folder, 'uninterrupted')));
  });
});
