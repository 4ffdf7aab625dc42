// From images to what a network is trained on: one noisy version of each image, and the target.
//
//   N samples   H, W height and width   C channels   T noise levels   K further numbers of a level, 0 or more
//   images [N, ..., W, C] or [N, C]: uint8, read as v / 127.5 - 1 in [-1, 1], or float32, taken as it is; a slice of
//   channels allowed
//   table [T, 6 + K] float32, contiguous: signal, noise, targetX0, targetEps, weight, told of each level, then the
//   further numbers
//   level [N] float32, integers in [0, T), contiguous; absent: drawn
//   xt, target: float32, the shape of images, slices of channels allowed
//   timestep, weight [N] float32, contiguous; extra [N, K] float32, where K is above 0
//
// For every sample: i = level[n], or else floor(T u) (purpose timestep, element 0); with `flip` the image is mirrored
// left to right where u >= 1/2 (purpose flip, element 0); ε is normal noise (purpose noise), indexed by the elements of
// xt, plus offsetNoise times one normal number for each channel (purpose offset noise, element c).
//   xt = signal_i x0 + noise_i ε      target = targetX0_i x0 + targetEps_i ε
//   timestep[n] = told_i              weight[n] = weight_i      extra[n] = the further numbers of level i
//
// Ho et al. 2020, arXiv:2006.11239, eq. (4) is signal = sqrt(ᾱ), noise = sqrt(1 - ᾱ) with target ε; Salimans and Ho
// 2022, arXiv:2202.00512, is target v = signal ε - noise x0. Every schedule and target is a table, computed in float64
// by the caller. told is what the network is told of the level, e.g. the timestep i. A level out of range fails with
// ERR_ARGUMENT.
//
// Attributes: flip (not 0: mirror half of the images); offsetNoise (0 for none); seedLow, seedHigh, step, sampleOffset
// as in ops/random.h.
#pragma once

#include "engine/kernel.h"
