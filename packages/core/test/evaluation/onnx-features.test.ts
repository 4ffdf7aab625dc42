import { describe, expect, test } from 'vitest';
import {
  type OnnxFeaturesOptions,
  type OnnxRuntime,
  type OnnxTensor,
  onnxFeatures,
} from '../../src/evaluation/index.ts';

class Tensor {
  readonly type: string;
  readonly data: Float32Array;
  readonly dims: readonly number[];
  constructor(type: 'float32', data: Float32Array, dims: readonly number[]) {
    [this.type, this.data, this.dims] = [type, data, dims];
  }
}

type Run = (input: Tensor) => Record<string, OnnxTensor>;

/** A runtime that is no more than a function from the input to the outputs. */
function stub(run: Run, { outputs = ['pool'], shape }: { outputs?: string[]; shape?: (number | string)[] } = {}) {
  const seen: Tensor[] = [];
  let released = 0;
  const runtime: OnnxRuntime = {
    Tensor,
    InferenceSession: {
      create: async (path) => {
        if (path.includes('missing')) throw new Error(`Load model from ${path} failed: File doesn't exist\n at line 7`);
        return {
          inputNames: ['images'],
          outputNames: outputs,
          ...(shape && { inputMetadata: [{ shape }] }),
          async run(feeds) {
            const input = (feeds as Record<string, Tensor>).images as Tensor;
            seen.push(input);
            return run(input);
          },
          async release() {
            released++;
          },
        };
      },
    },
  };
  return { runtime, seen, released: () => released };
}

/** The input itself as features. */
const same: Run = ({ data, dims }) => {
  const count = dims[0] as number;
  return { pool: { data, dims: [count, data.length / count, 1, 1] } };
};

const open = (options: Partial<OnnxFeaturesOptions> & { runtime: OnnxRuntime }) =>
  onnxFeatures({ path: 'nets/net.onnx', ...options });

describe('ONNX features', () => {
  test('bytes become [0, 1] and channels come first', async () => {
    const { runtime, seen } = stub(same);
    const network = await open({ runtime, input: [1, 2, 3] });
    expect(network).toMatchObject({ name: 'net.onnx', dimensions: 6 });
    expect(network.classes).toBeUndefined();
    const { features, probabilities } = await network.features(Uint8Array.of(0, 51, 102, 153, 204, 255), [1, 1, 2, 3]);
    expect([...features]).toEqual([0, 153, 51, 204, 102, 255].map((byte) => Math.fround(byte / 255)));
    expect(probabilities).toBeUndefined();
    expect(seen.at(-1)).toMatchObject({ type: 'float32', dims: [1, 3, 1, 2] });
  });

  test('layout, range, mean and deviation are those of the options; floats mean the same as bytes', async () => {
    const { runtime, seen } = stub(same);
    const options = { layout: 'nhwc', range: [-1, 1], mean: [0.5, 0, -0.5], std: [2, 1, 0.5] } as const;
    const network = await open({ runtime, input: [1, 1, 3], ...options });
    const expected = [(-1 - 0.5) / 2, 1, (0.2 + 0.5) / 0.5];
    const bytes = await network.features(Uint8Array.of(0, 255, 153), [1, 1, 1, 3]);
    const floats = await network.features(Float32Array.of(-1, 1, 0.2), [1, 1, 1, 3]);
    for (const { features } of [bytes, floats]) {
      expected.forEach((value, i) => {
        expect(features[i]).toBeCloseTo(value, 6);
      });
    }
    expect(seen.at(-1)?.dims).toEqual([1, 1, 1, 3]);
  });

  test('grey images are repeated for a network of colours and enlarged as PyTorch does', async () => {
    const { runtime } = stub(same);
    const network = await open({ runtime, input: [4, 3, 3] });
    const { features } = await network.features(Uint8Array.of(0, 255, 102, 51), [1, 2, 2, 1]);
    // torch.nn.functional.interpolate([[0, 1], [.4, .2]], size=(4, 3), mode='bilinear')
    const plane = [0, 0.5, 1, 0.1, 0.45, 0.8, 0.3, 0.35, 0.4, 0.4, 0.3, 0.2];
    [...plane, ...plane, ...plane].forEach((value, i) => {
      expect(features[i]).toBeCloseTo(value, 6);
    });
  });

  test('the size comes from the file when the runtime tells it', async () => {
    const { runtime } = stub(same, { shape: ['batch', 3, 8, 6] });
    expect((await open({ runtime })).dimensions).toBe(3 * 8 * 6);
    const { runtime: last } = stub(same, { shape: ['batch', 8, 6, 1] });
    expect((await open({ runtime: last, layout: 'nhwc' })).dimensions).toBe(8 * 6);
  });

  test('probabilities, or logits through a softmax', async () => {
    const run: Run = ({ dims: [n = 0] }) => ({
      pool: { data: new Float32Array(2 * n), dims: [n, 2] },
      scores: { data: Float32Array.from({ length: 2 * n }, (_, i) => 1000 + (i % 2) * Math.log(3)), dims: [n, 2] },
    });
    const outputs = { outputs: ['pool', 'scores'] };
    const logits = await open({ ...stub(run, outputs), input: [1, 1, 1], logits: 'scores' });
    expect(logits).toMatchObject({ dimensions: 2, classes: 2 });
    const { probabilities } = await logits.features(new Uint8Array(2), [2, 1, 1, 1]);
    [0.25, 0.75, 0.25, 0.75].forEach((value, i) => {
      expect(probabilities?.[i]).toBeCloseTo(value, 4);
    });
    const direct = await open({ ...stub(run, outputs), input: [1, 1, 1], probabilities: 'scores' });
    expect((await direct.features(new Uint8Array(1), [1, 1, 1, 1])).probabilities?.[0]).toBe(1000);
  });

  test('the network is freed on close, and when it does not fit', async () => {
    const good = stub(same);
    const network = await open({ ...good, input: [1, 1, 1] });
    expect(good.released()).toBe(0);
    await network.close();
    expect(good.released()).toBe(1);
    const bad = stub(same);
    await expect(open({ ...bad, input: [1, 1, 1], features: 'other' })).rejects.toThrow();
    expect(bad.released()).toBe(1);
  });

  const wide: Run = ({ dims: [n = 0] }) => ({ pool: { data: new Float32Array(8 * n), dims: [n, 2, 2, 2] } });
  const fails: Run = () => {
    throw new Error('Got invalid dimensions for input: images\n at node 3');
  };
  test.each([
    [
      'no file',
      same,
      { path: 'missing.onnx', input: [1, 1, 1] },
      /^cannot load missing.onnx: .* doesn't exist at line 7$/,
    ],
    ['no size', same, {}, /net.onnx: 'input' must say what it takes, as \[height, width, channels\]; got undefined/],
    ['a bad size', same, { input: [0, 1, 1] }, /'input' must say/],
    ['another output', same, { input: [1, 1, 1], features: 'x' }, /has no output 'x' for 'features'; it has pool/],
    ['another layout', same, { input: [1, 1, 1], layout: 'chw' }, /'layout' must be nchw or nhwc; got "chw"/],
    ['half a range', same, { input: [1, 1, 1], range: [1] }, /'range' must be two numbers/],
    ['a mean too few', same, { input: [1, 1, 3], mean: [0, 0] }, /'mean' must be a number for each of 3 channels/],
    ['a deviation of 0', same, { input: [1, 1, 1], std: [0] }, /'std' must be a number for each of 1 channels/],
    ['maps', wide, { input: [1, 1, 1] }, /output 'pool' is \[1, 2, 2, 2\]; expected float32 \[1, D\]/],
    [
      'a failing run',
      fails,
      { input: [1, 1, 1] },
      /does not run on images of \[1, 1, 1, 1\]: Got invalid dimensions for .* at node 3$/,
    ],
  ])('refuses %s', async (_, run, options, message) => {
    await expect(open({ ...stub(run), ...(options as object) })).rejects.toThrow(message);
  });

  test('refuses images of other channels', async () => {
    const network = await open({ ...stub(same), input: [2, 2, 3] });
    await expect(network.features(new Uint8Array(16), [1, 2, 2, 4])).rejects.toThrow(/takes 3 channels; .* have 4/);
    await expect(network.features(new Uint8Array(5), [1, 2, 2, 1])).rejects.toThrow(/has 4 values; got 5/);
  });
});
