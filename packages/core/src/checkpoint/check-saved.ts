import { parameterTable } from '../models/weights.ts';
import { DiffuseError } from '../native/errors.ts';
import { modelFormats } from './model-kinds.ts';
import type { SaveRunOptions } from './run.ts';
import { formatOf } from './run-location.ts';

/**
 * Refuses parts of a run that do not belong together, before anything is written.
 *
 * @throws DiffuseError `ERR_ARGUMENT` naming the part.
 */
export function checkSaved({ model, diffusion, autoencoder, scale, state }: SaveRunOptions): void {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `saveRun: ${problem}`);
  };
  if (!Object.hasOwn(modelFormats, model.kind)) {
    const known = Object.keys(modelFormats).join(', ');
    refuse(`the model is of kind ${model.kind}; expected one of ${known}; others have saveTrainingState`);
  }
  const { title, scheduler, toJson } = formatOf(model.kind);
  toJson(model.config);
  const given = diffusion === undefined ? null : 'transition' in diffusion ? 'discrete' : 'gaussian';
  if (given !== scheduler) {
    const wanted = { gaussian: 'a Gaussian diffusion', discrete: 'a discrete diffusion' };
    const name = (process: typeof given): string => (process === null ? 'no diffusion' : wanted[process]);
    refuse(`${title} goes with ${name(scheduler)}; got ${name(given)}`);
  }
  if (model.kind === 'token-unet' && diffusion && 'transition' in diffusion) {
    const { tokens, states } = model.config;
    if (tokens !== diffusion.tokens || states !== diffusion.states) {
      const made = `the diffusion has ${diffusion.tokens} tokens and ${diffusion.states} states`;
      refuse(`${made}; the model was made for ${tokens} and ${states}`);
    }
  }
  if (!sameParameters(state.weights.table, parameterTable(model.parameters))) {
    refuse('the state is that of another model: its parameters are not those of the model');
  }
  if ((autoencoder === undefined) !== (scale === undefined)) refuse('give autoencoder and scale together, or neither');
  if (!autoencoder) return;
  if (!(scale > 0 && Number.isFinite(scale))) refuse(`scale is ${scale}; it must be above 0`);
  if (model.kind !== 'unet2d' || autoencoder.latentShape.join() !== model.shape.join()) {
    const latents = autoencoder.latentShape.join(', ');
    refuse(`latents of [${latents}] are drawn by a U-Net of that shape; got ${title} of [${model.shape.join(', ')}]`);
  }
}

type Table = ReturnType<typeof parameterTable>;

function sameParameters({ slots }: Table, { slots: others }: Table): boolean {
  return (
    slots.length === others.length &&
    slots.every(({ name, shape }, i) => name === others[i]?.name && shape.join() === others[i]?.shape.join())
  );
}
