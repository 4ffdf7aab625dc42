// `pnpm pack:native [--out DIR]`: packs the addon of this checkout and the CUDA kernels beside it for machines without a compiler, as
// DIR/diffuse-native-PLATFORM-ARCH-VERSION.tgz (default build/packages). Installed beside @diffuse/core, it is found where there is no build of
// a checkout. DIFFUSE_CUDA_IMAGES names another folder of kernels; without any the package has the CPU alone, and says so when it is packed.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { factsFile, imageFolder } from './lib/cuda.mjs';
import { option, root } from './lib/project.mjs';

const addon = join(root, 'build/Release/diffuse_native.node');
const images = process.env.DIFFUSE_CUDA_IMAGES || imageFolder;
const out = resolve(option('out') ?? join(root, 'build/packages'));
const { version, license, engines } = JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8'));

function fail(problem) {
  console.error(problem);
  process.exit(1);
}

/** The files of the kernels; none where they were not compiled. Those of another build are refused: nobody could use them. */
function imageFiles() {
  const facts = join(images, factsFile);
  if (!existsSync(facts)) return [];
  const { build: wanted } = createRequire(import.meta.url)(addon).cudaDevices();
  const build = /^build (\w+)$/m.exec(readFileSync(facts, 'utf8'))?.[1];
  if (build !== wanted)
    fail(`the CUDA kernels in ${images} are of build ${build}, the addon is of ${wanted}: pnpm build:cuda builds both`);
  return [factsFile, ...readdirSync(images).filter((name) => /\.(fatbin|ptx)$/.test(name))];
}

if (!existsSync(addon)) fail(`there is no ${relative(root, addon)}: pnpm build:native`);
const files = imageFiles();
const stage = mkdtempSync(join(tmpdir(), 'diffuse-pack-'));
try {
  const manifest = {
    name: `@diffuse/native-${process.platform}-${process.arch}`,
    version,
    license,
    description: `The native addon of @diffuse/core${files.length > 0 ? ' and its CUDA kernels' : ''}, built`,
    main: 'diffuse_native.node',
    files: ['diffuse_native.node', 'cuda'],
    os: [process.platform],
    cpu: [process.arch],
    ...(process.platform === 'linux' && { libc: ['glibc'] }),
    engines,
  };
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
  cpSync(addon, join(stage, 'diffuse_native.node'));
  for (const name of files) cpSync(join(images, name), join(stage, 'cuda', name));
  mkdirSync(out, { recursive: true });
  const packed = spawnSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: stage, encoding: 'utf8' });
  if (packed.status !== 0) fail(`npm pack failed: ${packed.stderr ?? packed.error?.message}`);
  const kernels =
    files.length > 0
      ? `with ${files.length - 1} images of CUDA kernels`
      : 'without CUDA kernels (pnpm build:cuda makes them)';
  console.log(`${join(out, packed.stdout.trim())}, ${kernels}`);
} finally {
  rmSync(stage, { recursive: true, force: true });
}
