import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { type OnnxRuntime, onnxFeatures } from '../../src/evaluation/index.ts';
import { meanNetwork } from './onnx-file.ts';

// The package is an optional peer of hundreds of megabytes. ONNXRUNTIME names a folder that has it in its node_modules.
const home = join(process.env.ONNXRUNTIME ?? process.cwd(), 'package.json');
const entry = ((): string | undefined => {
  try {
    return createRequire(home).resolve('onnxruntime-node');
  } catch {
    return undefined;
  }
})();

const folder = mkdtempSync(join(tmpdir(), 'diffuse-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(entry === undefined)(
  'a real .onnx file in the real runtime (skipped without onnxruntime-node)',
  async () => {
    const loaded = (await import(pathToFileURL(entry as string).href)) as OnnxRuntime & { default?: OnnxRuntime };
    const path = join(folder, 'means.onnx');
    writeFileSync(path, meanNetwork([2, 2, 3], Float32Array.of(1, 0, 0, 1, 2, -1)));
    const network = await onnxFeatures({ runtime: loaded.default ?? loaded, path, logits: 'logits', range: [0, 255] });
    expect(network).toMatchObject({ name: 'means.onnx', dimensions: 3, classes: 2 });
    const pixels = Uint8Array.from([1, 10, 100, 2, 20, 100, 3, 30, 100, 4, 40, 100]);
    const { features, probabilities } = await network.features(Uint8Array.of(...pixels, ...pixels), [2, 2, 2, 3]);
    for (const n of [0, 1]) {
      [2.5, 25, 100].forEach((mean, c) => {
        expect(features[3 * n + c]).toBeCloseTo(mean, 4);
      });
    }
    // Logits 2.5 + 200 and 25 - 100.
    expect(Array.from(probabilities ?? [])).toEqual([1, 0, 1, 0]);
    await network.close();

    writeFileSync(path, 'no network at all');
    await expect(onnxFeatures({ runtime: loaded.default ?? loaded, path })).rejects.toThrow(
      /cannot load .*means\.onnx/,
    );
  },
);
