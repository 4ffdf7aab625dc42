/**
 * Every kernel that a backend provides, with its signature: `tensors; attributes`. Outputs stand first and end in `!`, optional
 * tensors end in `?`; a tensor is float32 unless `:u8`, `:i32` or `:any` says otherwise; an
 * `:image` is float32 or bf16, all images of a call alike. The same list stands in
 * `native/ops/kernels.def`; opening a device compares the two.
 */
export const kernelSignatures = {
  // native/ops/conv2d.h
  conv2d_forward:
    'y!:image, moments?!, x:image, weight, bias?, mean?, rstd?, gamma?, beta?, shift?, residual?:image; stride, padTop, padLeft, silu',
  conv2d_data_gradient:
    'dx!:image, sums?!, dy:image, weight, normalised?:image, coefficients?, x?:image, mean?, rstd?, gamma?, beta?, residual?:image; stride, padTop, padLeft, silu',
  conv2d_weight_gradient:
    'dweight!, dbias?!, x:image, dy:image, mean?, rstd?, gamma?, beta?, normalised?:image, coefficients?; stride, padTop, padLeft, silu',
  // native/ops/linear.h
  linear_forward: 'y!:image, x:image, weight, bias?, residual?:image;',
  linear_data_gradient: 'dx!:image, dy:image, weight, residual?:image;',
  linear_weight_gradient: 'dweight!, dbias?!, x:image, dy:image;',
  // native/ops/matmul.h
  matmul: 'c!, a, b; transposeA, transposeB',
  // native/ops/attention.h
  attention_forward: 'y!:image, logSumExp!, q:image, k:image, v:image; heads, scale',
  attention_backward:
    'dq!:image, dk!:image, dv!:image, dy:image, y:image, logSumExp, q:image, k:image, v:image; heads, scale',
  // native/ops/group_norm.h
  channel_moments: 'moments!, x:image; chunk',
  group_norm_statistics: 'mean!, rstd!, moments; eps, pixels, chunk',
  normalise_forward: 'y!:image, x:image, mean, rstd, gamma, beta; silu',
  normalise_backward: 'dz?!:image, sums!, dy:image, x:image, mean, rstd, gamma, beta; silu, chunk',
  group_norm_gradient: 'coefficients!, dgamma!, dbeta!, pixelSums?!, sums, mean, rstd, gamma, moments?; pixels, chunk',
  normalise_gradient: 'dx!:image, dz:image, x:image, coefficients, addend?:image;',
  // native/ops/silu.h
  silu_forward: 'y!:image, x:image;',
  silu_backward: 'dx!:image, dy:image, x:image;',
  // native/ops/elementwise.h
  copy: 'y!:image, x:image;',
  cast: 'y!:any, x:any;',
  fill: 'y!:image; value',
  scale: 'y!:image, x:image; factor',
  add: 'y!:image, a:image, b:image; alpha, beta',
  add_channels: 'y!:image, x:image, t;',
  multiply: 'y!:image, a:image, b:image;',
  multiply_samples: 'y!, x, factor;',
  divide_samples: 'y!, x, divisor;',
  // native/ops/reductions.h
  sum_pixels: 'y!, x:image;',
  sum_samples: 'y!, x;',
  sum: 'y!, x;',
  // native/ops/scale_shift.h
  scale_shift_forward: 'y!:image, x:image, scaleShift;',
  scale_shift_backward: 'dx!:image, dscaleShift!, dy:image, x:image, scaleShift;',
  // native/ops/upsample_nearest.h
  upsample_nearest_forward: 'y!:image, x:image;',
  upsample_nearest_backward: 'dx!:image, dy:image;',
  // native/ops/time_embedding.h
  time_embedding_forward: 'y!, t; frequencyShift, flipSinToCos, maxPeriod',
  fourier_embedding_forward: 'y!, t, frequencies; flipSinToCos',
  // native/ops/embedding.h
  embedding_forward: 'y!, table, index:i32;',
  embedding_backward: 'dtable!, dy, index:i32;',
  // native/ops/dropout.h
  dropout: 'y!:image, x:image; probability, seedLow, seedHigh, step, layer, sampleOffset',
  // native/ops/weighted_mse.h
  weighted_mse_forward: 'loss!, perSample!, prediction, target, weight;',
  weighted_mse_backward: 'dprediction!, dloss, prediction, target, weight;',
  // native/ops/hybrid_loss.h
  hybrid_loss_forward:
    'loss!, perSample!, bound!, output, xt, target, weight, coefficients, importance?; simpleWeight, boundWeight, boundScale, throughMean',
  hybrid_loss_backward:
    'doutput!, dloss, output, xt, target, weight, coefficients, importance?; simpleWeight, boundWeight, boundScale, throughMean',
  // native/ops/softmax_cross_entropy.h
  softmax_cross_entropy_forward: 'loss!, perRow!, correct!, logits, labels:i32;',
  softmax_cross_entropy_backward: 'dlogits!, dloss, logits, labels:i32;',
  // native/ops/gaussian_latent.h
  gaussian_latent_forward: 'z!, kl!, moments, noise;',
  gaussian_latent_backward: 'dmoments!, dz, dkl, moments, noise;',
  // native/ops/token_noising.h
  token_noising: 'xt!, timestep!, tokens:i32, keep; mask, seedLow, seedHigh, step, sampleOffset',
  // native/ops/token_denoising_loss.h
  token_denoising_loss_forward:
    'loss!, bound!, crossEntropy!, logits, tokens:i32, xt, timestep, keep; crossEntropyWeight',
  token_denoising_loss_backward: 'dlogits!, dloss, logits, tokens:i32, xt, timestep, keep; crossEntropyWeight',
  random_normal: 'y!; seedLow, seedHigh, purpose, step, sampleOffset',
  random_uniform: 'y!; seedLow, seedHigh, purpose, step, sampleOffset, low, high',
  // native/ops/noising.h
  noising:
    'xt!, target!, timestep!, weight!, extra?!, images:any, table, level?; seedLow, seedHigh, step, sampleOffset, flip, offsetNoise',
  // native/ops/dynamic_threshold.h
  dynamic_threshold: 'x0!, x, prediction; x0FromX, x0FromPrediction, quantile, max',
  // native/ops/self_conditioning.h
  self_conditioning: 'estimate!, xt, prediction, coefficients; clip, seedLow, seedHigh, step, sampleOffset',
  // native/ops/sampler_update.h
  sampler_update:
    'xNext!, x0!, historyNext?!, olderNext?!, x, prediction, history?, older?, noise?, variance?; x0FromX, x0FromPrediction, clip, coefficientX, coefficientX0, coefficientPrediction, coefficientHistory, coefficientOlder, coefficientNoise, historyFromX, historyFromX0, logVarianceLow, logVarianceHigh, seedLow, seedHigh, step, sampleOffset',
  // native/ops/optimizer.h
  gradient_norm: 'norm!, gradient;',
  adamw_ema:
    'parameter!, firstMoment!, secondMoment!, ema?!, gradient, norm; learningRate, beta1, beta2, epsilon, weightDecay, biasCorrection1, biasCorrection2, clipNorm, emaDecay, gradientScale',
} as const;

/** Name of a kernel. */
export type KernelName = keyof typeof kernelSignatures;

/** One tensor of a kernel's signature. */
export interface KernelTensor {
  readonly name: string;
  readonly dtype: 'f32' | 'u8' | 'i32' | 'any' | 'image';
  readonly output: boolean;
  readonly optional: boolean;
}

/** A kernel's signature, taken apart: tensors (outputs first) and attributes in the order in which the addon expects them. */
export interface KernelSignature {
  readonly tensors: readonly KernelTensor[];
  readonly attributes: readonly string[];
}

const parsed = new Map<string, KernelSignature>();

/** The signature of a kernel, taken apart. */
export function kernelSignature(kernel: KernelName): KernelSignature {
  const known = parsed.get(kernel);
  if (known) return known;
  const [tensors = '', attributes = ''] = kernelSignatures[kernel].split(';');
  const names = (list: string): string[] =>
    list
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
  const signature: KernelSignature = {
    tensors: names(tensors).map((text) => {
      const [spec = '', dtype = 'f32'] = text.split(':');
      return {
        name: spec.replace(/[!?]/g, ''),
        dtype: dtype as KernelTensor['dtype'],
        output: spec.includes('!'),
        optional: spec.includes('?'),
      };
    }),
    attributes: names(attributes),
  };
  parsed.set(kernel, signature);
  return signature;
}
