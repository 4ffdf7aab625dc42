// The loss of discrete diffusion: how far the reverse step that the network gives is from the true one, in nats, plus
// the cross-entropy of the tokens. Austin et al. 2021, arXiv:2107.03006, section 3.4.
//
//   N samples   L tokens of a sample   K kinds of token   S states: K, or K + 1 with the mask, state K   T noise levels
//   logits, dlogits [N, L, K] float32, slices of channels allowed   tokens [N, L] int32 in [0, K), contiguous
//   xt [N, L, S] float32, 1 at the state, a slice of channels allowed
//   timestep [N] float32, integers in [0, T)   keep [T] float32, falling   loss, bound, crossEntropy, dloss [1] float32
//
// With a = keep[t], b = keep[t - 1] (1 for t = 0), state j, token i, m the limit (1/K each, or all on the mask):
//   p = softmax(logits)           e_x = q(x_t = j | x_0 = x) = a [x = j] + (1 - a) m_j
//   F_k = q(x_t = j | x_{t-1} = k) = a/b [k = j] + (1 - a/b) m_j
//   q_k = F_k (b [k = i] + (1 - b) m_k) / e_i                              the true reverse step
//   P_k = F_k (b r_k + (1 - b) m_k Σ r),  r_x = p_x / e_x or 0 where e_x = 0,   over Z = Σ p_x over e_x > 0
//   kl = Σ_k q_k ln(q_k Z / P_k), which for t = 0 is -ln of what the network gives the token
//
// bound = mean over tokens of T kl, an estimate of the variational bound in nats a token, but for its constant
// crossEntropy = mean of -ln p_i     loss = bound + crossEntropyWeight crossEntropy; only loss is differentiated:
//   g_x = d(T kl)/dp_x = T (1/Z - (q_x F_x b / P_x + Σ_k q_k F_k (1 - b) m_k / P_k) / e_x) where e_x > 0, else 0
//   dlogits_x = dloss / (N L) (p_x g_x + crossEntropyWeight (p_x - [x = i]))
// The softmax's own gradient would take Σ_y p_y g_y off g_x; it is 0, for kl stays as it is where all p grow alike.
// A masked state's kl is the weighted cross-entropy (b - a) / (1 - a) (-ln p_i); a state that is no mask has kl 0 where
// nothing else can have led to it. Computed in float64. Tokens and timesteps out of range fail with ERR_ARGUMENT, as
// does a state that the token cannot have become.
#pragma once

#include "engine/kernel.h"
