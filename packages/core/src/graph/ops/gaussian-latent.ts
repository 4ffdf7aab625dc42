import { emit, expectShape, type Value } from '../graph.ts';
import { fill } from './elementwise.ts';

/**
 * The middle of a variational autoencoder: `z = mean + exp(logVariance / 2) * noise`, and `kl`, how far the Gaussian that z is drawn
 * from is from N(0, I), in nats a sample. Kingma and Welling 2014, arXiv:1312.6114, section 3 and appendix B. The logarithm of the
 * variance is clamped to [-30, 20]. The noise is not differentiated.
 *
 * @param moments float32 [N, ..., 2C]: C means, then C logarithms of variances
 * @param noise float32 [N, ..., C], standard normal
 * @returns `z` float32 [N, ..., C], `kl` float32 [1]
 */
export function gaussianLatent(moments: Value, noise: Value): { z: Value; kl: Value } {
  expectShape('moments of gaussianLatent', moments.shape, [...noise.shape.slice(0, -1), 2 * (noise.shape.at(-1) ?? 0)]);
  return emit({
    kernel: 'gaussian_latent_forward',
    outputs: { z: noise.shape, kl: [1] },
    inputs: { moments, noise },
    gradient: ({ z: dz, kl: dkl }) => ({
      moments: emit({
        kernel: 'gaussian_latent_backward',
        outputs: { dmoments: moments.shape },
        inputs: {
          dz: dz ?? fill(moments.graph, noise.shape, 0),
          dkl: dkl ?? fill(moments.graph, [1], 0),
          moments,
          noise,
        },
      }).dmoments,
    }),
  });
}
