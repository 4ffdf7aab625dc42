// `pnpm build:cuda`: makes build/Release/cuda/NAME.fatbin of every cuda/ops/NAME.cu, for all architectures, and resources.json; the addon
// is built before, since both must be of one build (scripts/lib/cuda-build-id.mjs).
// `--ptx` makes only the PTX texts that the tests run on the simulator, in build/cuda/ptx.
import { statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { architectures, buildImages, buildPtx, findCompiler, imageFolder, ptxFolder } from './lib/cuda.mjs';
import { root } from './lib/project.mjs';

const compiler = findCompiler();
if (compiler.missing) {
  console.error(`the CUDA kernels cannot be compiled: ${compiler.missing}. Everything else works without them.`);
  process.exit(1);
}
try {
  if (process.argv.includes('--ptx')) {
    const texts = await buildPtx(compiler);
    console.log(`PTX of ${texts.size} files in ${relative(root, ptxFolder)}`);
  } else {
    const images = Object.keys(await buildImages(compiler));
    const bytes = images.reduce((sum, name) => sum + statSync(join(imageFolder, `${name}.fatbin`)).size, 0);
    const targets = architectures.map((architecture) => `sm_${architecture}`).join(', ');
    console.log(
      `${images.length} images for ${targets} in ${relative(root, imageFolder)}: ${(bytes / 2 ** 20).toFixed(2)} MiB`,
    );
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
