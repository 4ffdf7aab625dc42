// The id by which the addon and the images of its CUDA kernels know that they belong together. The build of the addon and the build of the
// images both take it from here (scripts/cuda-build-id.mjs, scripts/lib/cuda.mjs); the addon compares them before it loads an image
// (native/cuda/image_folder.cc), since a kernel that is launched with the arguments of another build reads and writes anywhere.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesIn, root } from './project.mjs';

/** The structs of arguments, and the host's code that chooses entries, grids and shared memory. */
const launches = /^native\/cuda\/(?:(?:arguments|ops)\/\w+|chunks|norm|tiling|views)\.(?:h|cc)$/;

/**
 * A hash of what images and addon must agree on: how kernels are launched. The bodies of kernels are left out, so that whoever works on them
 * need not build the addon again; comments and spaces too.
 */
export function cudaBuildId() {
  const hash = createHash('sha256');
  for (const file of filesIn('native/cuda', /\.(h|cc)$/).filter((path) => launches.test(path))) {
    hash.update(`${file}\n${withoutComments(readFileSync(join(root, file), 'utf8'))}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

/** C++ without comments, and with one space wherever there are any. */
function withoutComments(text) {
  return text
    .replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '')
    .trim()
    .replace(/\s+/g, ' ');
}
