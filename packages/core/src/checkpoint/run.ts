import { type Diffusion, gaussianDiffusion } from '../diffusion/gaussian.ts';
import { type TargetName, targets } from '../diffusion/targets.ts';
import type { DiscreteDiffusion } from '../discrete/discrete-diffusion.ts';
import type { TokenModel } from '../discrete/token-unet.ts';
import type { Autoencoder } from '../models/autoencoder.ts';
import type { Classifier } from '../models/classifier.ts';
import type { Mlp } from '../models/mlp.ts';
import type { Network } from '../models/model.ts';
import { fileOrder } from '../models/parameter-layout.ts';
import type { UNet1D } from '../models/unet1d.ts';
import type { UNet2D } from '../models/unet2d.ts';
import type { VideoUNet } from '../models/video-unet.ts';
import { parameterTable, weightsOn } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { checkSaved } from './check-saved.ts';
import { readClassNames, writeClassNames } from './class-names.ts';
import { type RunFolder, readRunFolder, writeRunFolder } from './run-folder.ts';
import { locateRun, type RunKind } from './run-location.ts';
import { describeSchedule, scheduleFromDescription } from './schedule-config.ts';
import type { SchedulerDescription } from './scheduler-config.ts';
import { readSlot, type StateOptions, saveTrainingState } from './state-file.ts';
import { loadWeights, writeParameters } from './weights-file.ts';

export { loadTrainingState, saveTrainingState } from './state-file.ts';

/** What is saved of every run. */
export interface CommonSaveOptions extends StateOptions {
  /** Names of the classes that the model is concerned with. */
  readonly classNames?: readonly string[] | undefined;
}

/** A model and the process that it was trained to reverse. */
export interface SaveDiffusionOptions extends CommonSaveOptions {
  readonly model: UNet2D | Mlp | UNet1D | VideoUNet;
  readonly diffusion: Diffusion;
  readonly autoencoder?: undefined;
  readonly scale?: undefined;
}

/** A U-Net that was trained on latents, and what makes images of them. */
export interface SaveLatentOptions extends CommonSaveOptions {
  readonly model: UNet2D;
  readonly diffusion: Diffusion;
  /** Its weights are saved as `encodeImages` uses them: the average where it has one. */
  readonly autoencoder: Autoencoder;
  /** That of the `Latents`. */
  readonly scale: number;
}

/** A model of tokens and the process that it was trained to reverse. */
export interface SaveTokensOptions extends CommonSaveOptions {
  readonly model: TokenModel;
  readonly diffusion: DiscreteDiffusion;
  readonly autoencoder?: undefined;
  readonly scale?: undefined;
}

/** A network that reverses nothing. */
export interface SaveNetworkOptions extends CommonSaveOptions {
  readonly model: Classifier | Autoencoder;
  readonly diffusion?: undefined;
  readonly autoencoder?: undefined;
  readonly scale?: undefined;
}

/** What {@link saveRun} writes. */
export type SaveRunOptions = SaveDiffusionOptions | SaveLatentOptions | SaveTokensOptions | SaveNetworkOptions;

/**
 * Saves a training run: `state.safetensors`, from which training resumes exactly, and all that {@link loadRun} needs: `model_index.json`,
 * which names the parts, and a folder for each part. A U-Net for images becomes the folder of a diffusers pipeline (`unet/`, `unet_ema/`,
 * `scheduler/`), which Python loads as it is; other models lie in `model/`, autoencoders in `vae/`, beside `unet/` if it draws their
 * latents.
 *
 * Every file is replaced as a whole and durably (see `withAtomicFile`), the state first: whenever the process is killed, the folder
 * holds one complete state, and weights that are those of this checkpoint or of the one before.
 *
 * @throws `ERR_CHECKPOINT` naming the file that could not be written, `ERR_ARGUMENT` for parts that do not belong together and for
 *   models of one's own, which a file has no name for; then nothing was written.
 */
export async function saveRun(directory: string, options: SaveRunOptions): Promise<void> {
  const { model, state, classNames, autoencoder, scale } = options;
  checkSaved(options);
  const { weights } = state;
  const configs = {
    model,
    ...processOf(options),
    ...(autoencoder && { decoder: { model: autoencoder, scale } }),
    ema: weights.ema !== undefined,
  };
  const coder = autoencoder && weightsOn(autoencoder, weights.device);
  await saveTrainingState(directory, options);
  const paths = await writeRunFolder(directory, configs);
  if (coder) await writeWeights(paths.decoderPath, autoencoder, coder.ema ?? coder.parameters);
  await writeWeights(paths.weightsPath, model, weights.parameters);
  if (weights.ema) await writeWeights(paths.emaWeightsPath, model, weights.ema);
  if (classNames) await writeClassNames(directory, classNames);
}

/** What goes into `scheduler/`. Only images are bound to [-1, 1]. */
function processOf({ model, diffusion, autoencoder }: SaveRunOptions): Pick<RunFolder, 'scheduler' | 'discrete'> {
  if (!diffusion) return {};
  if ('transition' in diffusion) return { discrete: diffusion };
  const isImage = model.kind === 'unet2d' && !autoencoder;
  const learned = 'learnedVariance' in model && model.learnedVariance;
  const variance = learned ? 'learned-range' : 'fixed-small';
  return { scheduler: describeScheduler(diffusion, { variance, clip: isImage ? 1 : Number.POSITIVE_INFINITY }) };
}

/** @throws DiffuseError `ERR_ARGUMENT` for a target of one's own, which a file has no name for. */
function describeScheduler(
  { schedule, prediction }: Diffusion,
  own: Pick<SchedulerDescription, 'variance' | 'clip'>,
): SchedulerDescription {
  const predict = (Object.keys(targets) as TargetName[]).find((name) => targets[name] === prediction);
  if (!predict) {
    const known = Object.keys(targets).join(', ');
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `a run can be saved that predicts one of ${known}; not a target of one's own`,
    );
  }
  return {
    sampler: 'ddpm',
    schedule: describeSchedule(schedule),
    predict,
    ...own,
    spacing: 'leading',
    stepsOffset: 0,
    setAlphaToOne: true,
  };
}

function writeWeights(path: string, model: Network, buffer: DeviceBuffer): Promise<void> {
  const { slots } = parameterTable(model.parameters);
  return writeParameters(path, slots, (slot) => readSlot(buffer, slot, fileOrder(slot)));
}

/** A network that was loaded from a folder. */
export interface LoadedNetwork<M extends Network> {
  /** With its weights on the device. */
  readonly model: M;
  /** Names of the classes, where the run has them. */
  readonly classNames: readonly string[] | undefined;
}

/** A diffusion model that was loaded from a folder. */
export interface LoadedDiffusion<M extends Network> extends LoadedNetwork<M> {
  readonly diffusion: Diffusion;
  /** What the scheduler's configuration says beside the schedule: default sampler, variance, clipping, spacing. */
  readonly scheduler: SchedulerDescription;
}

/** A latent diffusion that was loaded from a folder: `sample` draws latents, `decodeLatents` makes images of them. */
export interface LoadedLatent extends LoadedDiffusion<UNet2D> {
  /** With its weights on the device. */
  readonly autoencoder: Autoencoder;
  /** For `decodeLatents`. */
  readonly scale: number;
}

/** A model of tokens that was loaded from a folder. */
export interface LoadedTokens extends LoadedNetwork<TokenModel> {
  readonly diffusion: DiscreteDiffusion;
}

/** What {@link loadRun} returns for each kind of run. */
export interface LoadedRuns {
  readonly unet2d: LoadedDiffusion<UNet2D>;
  readonly latent: LoadedLatent;
  readonly mlp: LoadedDiffusion<Mlp>;
  readonly unet1d: LoadedDiffusion<UNet1D>;
  readonly 'video-unet': LoadedDiffusion<VideoUNet>;
  readonly 'token-unet': LoadedTokens;
  readonly classifier: LoadedNetwork<Classifier>;
  readonly autoencoder: LoadedNetwork<Autoencoder>;
}

/** A run that was loaded from a folder: of a U-Net for images, or of other kinds, told apart by `kind`. */
export type LoadedRun<K extends RunKind = 'unet2d'> = { [P in K]: LoadedRuns[P] & { readonly kind: P } }[K];

/** Options of {@link loadRun}. */
export interface LoadRunOptions<K extends RunKind = RunKind> {
  readonly device: Device;
  /** What the folder holds; another is refused. `runKind` tells it. Default: a U-Net for images. */
  readonly kind?: K;
  /** Load the average of the weights where the folder has one; false: the weights as trained. */
  readonly ema?: boolean;
}

/** What kind of run a folder holds. @throws `ERR_CHECKPOINT` when it is no run, or one of a network that diffuse does not know. */
export async function runKind(directory: string): Promise<RunKind> {
  return (await locateRun(directory)).kind;
}

/**
 * Loads a run: one of ours of any kind, or any diffusers pipeline of a `UNet2DModel`. Only the weights asked for are read.
 *
 * @example
 * const { model, diffusion } = await loadRun('runs/digits', { device });
 * const { model: judge } = await loadRun('runs/classifier', { device, kind: 'classifier' });
 *
 * @example
 * const run = await loadRun(folder, { device, kind: await runKind(folder) });
 * if (run.kind === 'unet1d') console.log(run.model.config.channels);
 *
 * @throws `ERR_CHECKPOINT` naming the file and what is wrong with it, `ERR_OUT_OF_MEMORY`.
 */
export async function loadRun<K extends RunKind = 'unet2d'>(
  directory: string,
  { device, kind, ema = true }: LoadRunOptions<K>,
): Promise<LoadedRun<K>> {
  const folder = await readRunFolder(directory, kind ?? 'unet2d');
  const { model, scheduler, discrete, decoder, weightsPath, emaWeightsPath } = folder;
  const classNames = await readClassNames(directory);
  const diffusion = scheduler ? diffusionOf(scheduler) : discrete;
  await putWeights(model, (ema ? emaWeightsPath : undefined) ?? weightsPath, device);
  try {
    if (decoder) await putWeights(decoder.model, decoder.weightsPath, device);
  } catch (error) {
    model.weights?.parameters.dispose();
    throw error;
  }
  return {
    kind: folder.kind,
    model,
    classNames,
    ...(diffusion && { diffusion }),
    ...(scheduler && { scheduler }),
    ...(decoder && { autoencoder: decoder.model, scale: decoder.scale }),
  } as unknown as LoadedRun<K>; // readRunFolder has checked that the kind is K
}

function diffusionOf({ schedule, predict }: SchedulerDescription): Diffusion {
  return gaussianDiffusion({ schedule: scheduleFromDescription(schedule), predict });
}

/** Gives a model its weights. */
async function putWeights(model: Network, path: string, device: Device): Promise<void> {
  const table = parameterTable(model.parameters);
  model.weights = { device, table, parameters: await loadWeights(path, table, device), ema: undefined };
}
