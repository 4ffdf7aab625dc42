import { type Device, type LoadedRun, loadRun, type RunKind, runKind, runTitle } from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';
import type { Report } from '../terminal/report.ts';
import { type ChosenDevice, openChosenDevice } from './open-device.ts';

/** A model with its weights, and the device that they are on. Close the device with `using`. */
export type OpenModel<K extends RunKind = 'unet2d'> = LoadedRun<K> & { readonly device: Device };

/** Options of {@link openModel}. */
export interface OpenModelOptions<K extends RunKind> extends ChosenDevice {
  /** What the user calls the folder. */
  readonly flag: string;
  /** What is asked for; default: a U-Net for images. */
  readonly kinds?: readonly K[];
  readonly ema?: boolean | undefined;
  /** Told why a GPU that is there is passed over. */
  readonly report: Pick<Report, 'warn'>;
}

const inTypeScript = (kind: RunKind, then: string): string =>
  `in TypeScript, loadRun(folder, { device, kind: '${kind}' }) opens it and ${then}`;

/** What a run is good for that a command does not take. */
const uses: Readonly<Record<RunKind, string>> = {
  unet2d: 'diffuse sample draws images from it',
  latent: inTypeScript('latent', 'decodeLatents makes images of what sample draws from it'),
  classifier: 'it judges images: diffuse evaluate --features',
  mlp: inTypeScript('mlp', 'sample draws from it'),
  unet1d: inTypeScript('unet1d', 'sample draws from it'),
  'video-unet': inTypeScript('video-unet', 'sample draws from it'),
  'token-unet': inTypeScript('token-unet', 'sampleTokens draws from it'),
  autoencoder: inTypeScript('autoencoder', 'encodeImages makes latents with it'),
};

/** Every kind of run there is. */
export const runKinds = Object.keys(uses) as readonly RunKind[];

/**
 * Opens a device and loads a model onto it, with the average of the weights where there is one and `ema` is not false.
 *
 * @throws Failure naming the flag, also for a folder that holds another kind of run; DiffuseError `ERR_DEVICE`, `ERR_NATIVE`,
 *   `ERR_OUT_OF_MEMORY`.
 */
export async function openModel<K extends RunKind = 'unet2d'>(
  directory: string,
  { flag, kinds = ['unet2d' as K], ema = true, report, ...chosen }: OpenModelOptions<K>,
): Promise<OpenModel<K>> {
  const kind = await kindOf(directory, flag, kinds);
  const device = await openChosenDevice(chosen, report);
  try {
    return { ...(await named(flag, () => loadRun(directory, { device, ema, kind }))), device };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/**
 * Loads one more network onto a device that is open.
 *
 * @throws Failure naming the flag, as {@link openModel} does; DiffuseError `ERR_OUT_OF_MEMORY`.
 */
export async function loadBeside<K extends RunKind>(
  directory: string,
  { flag, kind, device, ema = true }: { flag: string; kind: K; device: Device; ema?: boolean | undefined },
): Promise<LoadedRun<K>> {
  await kindOf(directory, flag, [kind]);
  return named(flag, () => loadRun(directory, { device, ema, kind }));
}

/** The kind of run in a folder. @throws Failure for one that is not among `kinds`. */
async function kindOf<K extends RunKind>(directory: string, flag: string, kinds: readonly K[]): Promise<K> {
  const kind = await named(flag, () => runKind(directory));
  if (includes(kinds, kind)) return kind;
  const wanted = kinds.map(runTitle).join(' or ');
  throw usageError(`${flag}: ${directory} holds ${runTitle(kind)}; expected ${wanted} (${uses[kind]})`);
}

function includes<K extends RunKind>(kinds: readonly K[], kind: RunKind): kind is K {
  return (kinds as readonly RunKind[]).includes(kind);
}

/** What is wrong with a file is the fault of the flag that named it. */
async function named<T>(flag: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_CHECKPOINT') throw error;
    throw usageError(`${flag}: ${messageOf(error)}`, { cause: error });
  }
}
