import { type KernelName, kernelSignature } from '../kernels.ts';

/** A tensor of a call and the numbers it holds at first; what a kernel only writes begins as NaN. */
export interface CallTensor {
  readonly shape: readonly number[];
  /** `image` is float32 or bf16, as the call is made. */
  readonly format: 'f32' | 'bf16' | 'u8' | 'i32' | 'image';
  /** A number of u, which is uniform in [0, 1). */
  readonly value: (u: number) => number;
}

/** A call of a kernel on small tensors: what it computes on a device can be held against what the CPU computes. */
export interface KernelCall {
  readonly kernel: KernelName;
  /** By the names of the signature; optional ones may be absent. */
  readonly tensors: Readonly<Record<string, CallTensor>>;
  readonly attributes: Readonly<Record<string, number>>;
}

const f32 = (value: (u: number) => number, shape: readonly number[]): CallTensor => ({ shape, format: 'f32', value });
/** Numbers in [-2, 2). */
const noise = (...shape: readonly number[]): CallTensor => f32((u) => 4 * u - 2, shape);
/** Numbers in [0.5, 1.5). */
const positive = (...shape: readonly number[]): CallTensor => f32((u) => 0.5 + u, shape);
const zeros = (...shape: readonly number[]): CallTensor => f32(() => 0, shape);
const image = (...shape: readonly number[]): CallTensor => ({ ...noise(...shape), format: 'image' });
const indices = (limit: number, ...shape: readonly number[]): CallTensor => ({
  shape,
  format: 'i32',
  value: (u) => Math.floor(limit * u),
});

const calls: KernelCall[] = [];

function add(
  kernel: KernelName,
  tensors: Readonly<Record<string, CallTensor>>,
  attributes: Readonly<Record<string, number>> = {},
): void {
  calls.push({ kernel, tensors, attributes });
}

/** Philox's arguments. */
const seeds = { seedLow: 1, seedHigh: 2, step: 4, sampleOffset: 5 };

/** Alone, and with everything that can be done in passing; `C` and `K` decide whether rows are aligned. */
function addConvolutions(size: { N: number; H: number; W: number; C: number; K: number; window: number }): void {
  const { N, H, W, C, K, window } = size;
  for (const stride of [1, 2]) {
    const padding = window >> 1;
    const [OH, OW] = [H, W].map((side) => Math.floor((side + 2 * padding - window) / stride) + 1) as [number, number];
    const [x, y] = [image(N, H, W, C), image(N, OH, OW, K)];
    const weight = noise(window, window, C, K);
    const [bias, channels] = [noise(K), noise(C)];
    const attributes = { stride, padTop: padding, padLeft: padding, silu: 0 };
    add('conv2d_forward', { y, x, weight, bias }, attributes);
    add('conv2d_data_gradient', { dx: x, dy: y, weight, residual: x }, attributes);
    add('conv2d_weight_gradient', { dweight: weight, dbias: bias, x, dy: y }, attributes);
    const norm = { mean: noise(N, 1), rstd: positive(N, 1), gamma: channels, beta: channels };
    const normalised = { normalised: y, coefficients: noise(N, 4, K) };
    const [moments, sums] = [noise(N, Math.ceil(OH / 4), 3, K), noise(N, Math.ceil(H / 4), 2, C)];
    const fused = { ...attributes, silu: 1 };
    const added = { shift: noise(N, K), residual: y };
    add('conv2d_forward', { y, moments, x, weight, bias, ...norm, ...added }, fused);
    add('conv2d_data_gradient', { dx: x, sums, dy: y, weight, ...normalised, x, ...norm }, fused);
    add('conv2d_weight_gradient', { dweight: weight, dbias: bias, x, dy: y, ...norm, ...normalised }, fused);
  }
}

function addProducts(): void {
  addConvolutions({ N: 2, H: 9, W: 7, C: 19, K: 37, window: 3 });
  addConvolutions({ N: 1, H: 8, W: 8, C: 32, K: 64, window: 3 });
  // A GPU's narrow tiles of outputs, and its wide ones of gradients of weights.
  addConvolutions({ N: 1, H: 3, W: 8, C: 32, K: 8, window: 3 });
  addConvolutions({ N: 1, H: 4, W: 6, C: 64, K: 96, window: 3 });
  addConvolutions({ N: 1, H: 5, W: 6, C: 40, K: 24, window: 1 });
  for (const [rows, C, K] of [
    [6, 33, 19],
    [70, 64, 72],
  ] as const) {
    const [x, y, weight] = [image(rows, C), image(rows, K), noise(C, K)];
    add('linear_forward', { y, x, weight, bias: noise(K), residual: y });
    add('linear_data_gradient', { dx: x, dy: y, weight, residual: x });
    add('linear_weight_gradient', { dweight: weight, dbias: noise(K), x, dy: y });
    for (const [transposeA, transposeB] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ] as const) {
      const a = transposeA ? noise(C, rows) : noise(rows, C);
      add('matmul', { c: noise(rows, K), a, b: transposeB ? noise(K, C) : weight }, { transposeA, transposeB });
    }
  }
  // More than a GPU's kernel of small products takes.
  add('matmul', { c: noise(600, 520), a: noise(600, 9), b: noise(9, 520) }, { transposeA: 0, transposeB: 0 });
  for (const [N, S, heads, D] of [
    [2, 7, 3, 5],
    [1, 67, 2, 32],
    [1, 20, 1, 64],
  ] as const) {
    const t = image(N, S, heads * D);
    const logSumExp = noise(N, heads, S);
    const attributes = { heads, scale: 1 / Math.sqrt(D) };
    const qkv = { q: t, k: t, v: t };
    add('attention_forward', { y: t, logSumExp, ...qkv }, attributes);
    // Probabilities are computed from the sums: large ones keep them small.
    const sums = f32((u) => 6 + u, logSumExp.shape);
    add('attention_backward', { dq: t, dk: t, dv: t, dy: t, y: t, logSumExp: sums, ...qkv }, attributes);
  }
}

function addNormalisation(): void {
  for (const [N, H, C, G] of [
    [2, 3, 9, 3],
    [3, 9, 64, 32],
  ] as const) {
    const [x, channels, chunk, pixels] = [image(N, H, H, C), noise(C), 4 * H, H * H];
    const chunks = Math.ceil(pixels / chunk);
    const statistics = { mean: noise(N, G), rstd: positive(N, G) };
    const scaling = { ...statistics, gamma: channels, beta: channels };
    const [moments, sums, coefficients] = [positive(N, chunks, 3, C), noise(N, chunks, 2, C), noise(N, 4, C)];
    add('channel_moments', { moments, x }, { chunk });
    add('group_norm_statistics', { ...statistics, moments }, { eps: 1e-5, pixels, chunk });
    add('normalise_forward', { y: x, x, ...scaling }, { silu: 1 });
    add('normalise_forward', { y: x, x, ...scaling }, { silu: 0 });
    add('normalise_backward', { dz: x, sums, dy: x, x, ...scaling }, { silu: 1, chunk });
    add('normalise_backward', { sums, dy: x, x, ...scaling }, { silu: 0, chunk });
    const gradients = { coefficients, dgamma: channels, dbeta: channels, sums, ...statistics, gamma: channels };
    add('group_norm_gradient', { ...gradients, pixelSums: noise(N, C), moments }, { pixels, chunk });
    add('group_norm_gradient', gradients, { pixels, chunk });
    add('normalise_gradient', { dx: x, dz: x, x, coefficients, addend: x });
    add('normalise_gradient', { dx: x, dz: x, x, coefficients });
  }
}

function addElementwise(): void {
  for (const C of [7, 64]) {
    const [x, samples, loss] = [image(3, 5, 7, C), positive(3), noise(1)];
    const [wide, scaleShift] = [image(3, 10, 14, C), noise(3, 2 * C)];
    const plain = noise(3, 5, 7, C);
    const half: CallTensor = { ...plain, format: 'bf16' };
    add('silu_forward', { y: x, x });
    add('silu_backward', { dx: x, dy: x, x });
    add('copy', { y: x, x });
    add('cast', { y: half, x: plain });
    add('cast', { y: plain, x: half });
    add('fill', { y: x }, { value: 1.5 });
    add('scale', { y: x, x }, { factor: -2 });
    add('add', { y: x, a: x, b: x }, { alpha: 1, beta: -0.5 });
    add('add_channels', { y: x, x, t: noise(3, C) });
    add('multiply', { y: x, a: x, b: x });
    add('multiply_samples', { y: plain, x: plain, factor: samples });
    add('divide_samples', { y: plain, x: plain, divisor: samples });
    add('sum_pixels', { y: noise(3, C), x });
    add('sum_samples', { y: samples, x: plain });
    add('sum', { y: loss, x: plain });
    add('scale_shift_forward', { y: x, x, scaleShift });
    add('scale_shift_backward', { dx: x, dscaleShift: scaleShift, dy: x, x, scaleShift });
    add('upsample_nearest_forward', { y: wide, x });
    add('upsample_nearest_backward', { dx: x, dy: wide });
    add('dropout', { y: x, x }, { ...seeds, probability: 0.3, layer: 3 });
    const error = { prediction: plain, target: plain, weight: samples };
    add('weighted_mse_forward', { loss, perSample: samples, ...error });
    add('weighted_mse_backward', { dprediction: plain, dloss: loss, ...error });
  }
}

function addVectors(): void {
  const [samples, loss, rows] = [positive(3), noise(1), noise(9, 33)];
  add(
    'time_embedding_forward',
    { y: noise(3, 33), t: samples },
    { frequencyShift: 1, flipSinToCos: 0, maxPeriod: 1e4 },
  );
  add('fourier_embedding_forward', { y: noise(3, 22), t: samples, frequencies: noise(11) }, { flipSinToCos: 1 });
  add('embedding_forward', { y: rows, table: noise(4, 33), index: indices(4, 9) });
  add('embedding_backward', { dtable: noise(4, 33), dy: rows, index: indices(4, 9) });
  const labels = indices(33, 9);
  add('softmax_cross_entropy_forward', { loss, perRow: noise(9), correct: noise(9), logits: rows, labels });
  add('softmax_cross_entropy_backward', { dlogits: rows, dloss: loss, logits: rows, labels });
  const [latent, moments] = [noise(3, 5, 7), noise(3, 5, 14)];
  add('gaussian_latent_forward', { z: latent, kl: loss, moments, noise: latent });
  add('gaussian_latent_backward', { dmoments: moments, dz: latent, dkl: loss, moments, noise: latent });
  const bound = { output: moments, xt: latent, target: latent, weight: samples, coefficients: positive(3, 6) };
  const weights = { simpleWeight: 1, boundWeight: 0.001, boundScale: 1.4, throughMean: 1 };
  add('hybrid_loss_forward', { loss, perSample: samples, bound: loss, ...bound, importance: samples }, weights);
  add('hybrid_loss_backward', { doutput: moments, dloss: loss, ...bound }, weights);
}

function addTokens(): void {
  // Noise has no zeros, so every state is the first one; tokens are the same.
  const [tokens, states] = [indices(1, 3, 5), noise(3, 5, 8)];
  const [loss, keep, logits] = [noise(1), positive(3), noise(3, 5, 7)];
  const drawn = { xt: states, timestep: positive(3) };
  for (const mask of [7, -1]) {
    const kept = f32((u) => u, [3]);
    add('token_noising', { ...drawn, tokens: indices(7, 3, 5), keep: kept }, { ...seeds, mask });
  }
  const given = { logits, tokens, ...drawn, keep };
  const weight = { crossEntropyWeight: 0.5 };
  add('token_denoising_loss_forward', { loss, bound: loss, crossEntropy: loss, ...given }, weight);
  add('token_denoising_loss_backward', { dlogits: logits, dloss: loss, ...given }, weight);
}

function addRandomness(): void {
  const [x, samples] = [noise(3, 5, 7, 5), positive(3)];
  add('random_normal', { y: x }, { ...seeds, purpose: 3 });
  add('random_uniform', { y: x }, { ...seeds, purpose: 3, low: -1, high: 1 });
  const noised = { xt: x, target: x, timestep: samples, weight: samples };
  const bytes: CallTensor = { ...x, format: 'u8', value: (u) => Math.floor(256 * u) };
  add('noising', { ...noised, images: bytes, table: positive(11, 6) }, { ...seeds, flip: 1, offsetNoise: 0.1 });
  const levels = { table: positive(1, 8), level: zeros(3) };
  add('noising', { ...noised, extra: noise(3, 2), images: x, ...levels }, { ...seeds, flip: 0, offsetNoise: 0 });
  add('self_conditioning', { estimate: x, xt: x, prediction: x, coefficients: positive(3, 2) }, { ...seeds, clip: 1 });
  const estimate = { x0FromX: 2, x0FromPrediction: -0.5 };
  add('dynamic_threshold', { x0: x, x, prediction: x }, { ...estimate, quantile: 0.9, max: 2 });
  const row = {
    ...{ x0FromX: 1.1, x0FromPrediction: -0.2, clip: 1, coefficientX: 0.9, coefficientX0: 0.1 },
    ...{ coefficientPrediction: 0.2, coefficientHistory: 0.3, coefficientOlder: 0.15, coefficientNoise: 0.4 },
    ...{ historyFromX: 0.1, historyFromX0: 0.9, logVarianceLow: -3, logVarianceHigh: -2, ...seeds },
  };
  const step = { xNext: x, x0: x, x, prediction: x };
  add('sampler_update', step, row);
  const remembered = { historyNext: x, olderNext: x, history: x, older: x, noise: x, variance: x };
  add('sampler_update', { ...step, ...remembered }, row);
}

function addOptimizer(): void {
  const [P, rates] = [5021, { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 }];
  const gradient = noise(P);
  add('gradient_norm', { norm: noise(1), gradient });
  const state = { parameter: noise(P), firstMoment: noise(P), secondMoment: positive(P), gradient, norm: positive(1) };
  const scales = { biasCorrection1: 0.1, biasCorrection2: 0.001, clipNorm: 1, emaDecay: 0.999, gradientScale: 0.5 };
  add('adamw_ema', { ...state, ema: noise(P) }, { ...rates, ...scales });
  add('adamw_ema', state, { ...rates, ...scales });
}

/** One call of every kernel or several, in the order of the list of kernels. Numbers need not mean anything. */
export function kernelCalls(): readonly KernelCall[] {
  if (calls.length === 0) {
    for (const fill of [
      addProducts,
      addNormalisation,
      addElementwise,
      addVectors,
      addTokens,
      addRandomness,
      addOptimizer,
    ]) {
      fill();
    }
  }
  return calls;
}

/** Whether a kernel has images, which may be float32 or bf16. */
export function hasImages(kernel: KernelName): boolean {
  return kernelSignature(kernel).tensors.some(({ dtype }) => dtype === 'image');
}
