import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { throwIfCancelled } from './cancellation.ts';
import { decodeImage, type ImageFacts, inspectImage, UnreadableImage } from './decode.ts';
import { type CandidateFile, filesAtOnce } from './find-images.ts';
import { contentHash } from './hash-file.ts';
import { mapOrdered } from './ordered-map.ts';
import type { PackedContent, PackedWriter } from './packed-file.ts';
import type { Channels, OpenProgress, SkippedFile } from './settings.ts';

/** What {@link packFolder} works on. */
export interface FolderJob {
  readonly root: string;
  readonly files: readonly CandidateFile[];
  /** Files that were left out already; counted in the progress. */
  readonly skippedBefore: number;
  /** Height and width; `undefined` takes those of the files. */
  readonly size: readonly [height: number, width: number] | undefined;
  /** `undefined` takes those of the files. */
  readonly channels: Channels | undefined;
  /** Names of the classes in the order of their numbers, if there are classes. */
  readonly classNames: readonly string[] | undefined;
  readonly strict: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: OpenProgress) => void) | undefined;
}

/** The class of a file: the sub-folder of the first level that it lies in. */
export function classOf(path: string): string {
  return path.slice(0, path.indexOf('/'));
}

/**
 * Decodes the files of a folder into a packed file. Files that turn out to be damaged are left out, or fail the job
 * when it is strict.
 */
export async function packFolder(writer: PackedWriter, job: FolderJob): Promise<Omit<PackedContent, 'key'>> {
  const skipped: SkippedFile[] = [];
  const { files, size, channels } = await decideShape(job, skipped);
  const [height, width] = size;
  const decode = (content: Uint8Array) => decodeImage(content, { height, width, channels });

  const labels: number[] = [];
  let count = 0;
  let enlarged = 0;
  for await (const { file, result } of eachFile(job, 'decode', files, decode, skipped)) {
    await writer.append(result.pixels);
    count++;
    if (result.enlarged) enlarged++;
    if (job.classNames) labels.push(job.classNames.indexOf(classOf(file.path)));
  }
  if (count === 0) throw nothingDecoded(job, skipped);
  const { classNames } = job;
  return {
    shape: [height, width, channels],
    count,
    skipped,
    enlarged,
    ...(classNames && { classNames, labels: Int32Array.from(labels) }),
  };
}

/** Size and channels of the data set: what was asked for, else what all files agree on. */
async function decideShape(
  job: FolderJob,
  skipped: SkippedFile[],
): Promise<{ files: readonly CandidateFile[]; size: readonly [number, number]; channels: Channels }> {
  const { files, size, channels } = job;
  if (size && channels) return { files, size, channels };
  const sound: CandidateFile[] = [];
  const facts: ImageFacts[] = [];
  for await (const { file, result } of eachFile(job, 'inspect', files, inspectImage, skipped)) {
    sound.push(file);
    facts.push(result);
  }
  const [first] = facts;
  if (!first) throw nothingDecoded(job, skipped);
  const groups = (name: (fact: ImageFacts) => string) => groupPaths(sound, facts, name);
  if (!channels) {
    const colours = groups(({ grey }) => (grey ? 'grey' : 'colour'));
    if (colours.size > 1) throw mixture(job.root, colours, 'grey and colour images', 'set channels to 1, 3 or 4');
  }
  if (!size) {
    const sizes = groups(({ height, width }) => `${height} x ${width}`);
    if (sizes.size > 1) throw mixture(job.root, sizes, 'images of different sizes', 'set resolution to resize them');
  }
  return { files: sound, size: size ?? [first.height, first.width], channels: channels ?? (first.grey ? 1 : 3) };
}

/** Applies `use` to the content of each file, in order; what is unreadable goes to `skipped`. */
async function* eachFile<Result>(
  job: FolderJob,
  phase: OpenProgress['phase'],
  files: readonly CandidateFile[],
  use: (content: Uint8Array) => Promise<Result>,
  skipped: SkippedFile[],
): AsyncGenerator<{ file: CandidateFile; result: Result }> {
  const { root, strict, skippedBefore, signal, onProgress } = job;
  const open = async (file: CandidateFile): Promise<{ file: CandidateFile; result: Result | UnreadableImage }> => {
    throwIfCancelled(signal, `decoding ${root}`);
    try {
      return { file, result: await use(file.content ?? (await readUnchanged(join(root, file.path), file.identity))) };
    } catch (error) {
      if (error instanceof UnreadableImage) return { file, result: error };
      throw error;
    }
  };
  let done = 0;
  for await (const { file, result } of mapOrdered(files, filesAtOnce, open)) {
    if (result instanceof UnreadableImage) {
      if (strict) throw new DiffuseError('ERR_DATA', `${join(root, file.path)} ${result.message}`, { cause: result });
      skipped.push({ path: file.path, reason: result.message });
    } else {
      yield { file, result };
    }
    done++;
    onProgress?.({ phase, done, total: files.length, skipped: skippedBefore + skipped.length });
  }
}

/** The cache is named by the content that was hashed; other content must not get into it. */
async function readUnchanged(path: string, identity: string): Promise<Uint8Array> {
  const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_FS_FILE_TOO_LARGE') throw new UnreadableImage('is larger than 2 GiB', { cause: error });
    throw new DiffuseError('ERR_DATA', `${path} cannot be read any more: ${error.message}`, { cause: error });
  });
  if (contentHash(content) !== identity) {
    throw new DiffuseError('ERR_DATA', `${path} changed while the folder was read; open it again`);
  }
  return content;
}

function groupPaths(
  files: readonly CandidateFile[],
  facts: readonly ImageFacts[],
  name: (fact: ImageFacts) => string,
): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  facts.forEach((fact, i) => {
    const group = name(fact);
    const paths = groups.get(group) ?? [];
    groups.set(group, paths);
    paths.push((files[i] as CandidateFile).path);
  });
  return groups;
}

function mixture(root: string, groups: Map<string, string[]>, what: string, remedy: string): DiffuseError {
  const shown = [...groups].slice(0, 3).map(([group, paths]) => `${group}: ${examples(paths)}`);
  const more = groups.size > shown.length ? `; and ${groups.size - shown.length} more` : '';
  return new DiffuseError('ERR_DATA', `${root} mixes ${what} (${shown.join('; ')}${more}); ${remedy}`);
}

function examples(paths: readonly string[]): string {
  const shown = paths.slice(0, 2).join(', ');
  return paths.length > 2 ? `${shown} … ${paths.length} in all` : shown;
}

function nothingDecoded({ root }: FolderJob, skipped: readonly SkippedFile[]): DiffuseError {
  const [first] = skipped;
  return new DiffuseError(
    'ERR_DATA',
    `none of the ${skipped.length} image files in ${root} can be decoded; ${first?.path}: ${first?.reason}`,
  );
}
