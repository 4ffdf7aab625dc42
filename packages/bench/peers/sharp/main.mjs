// sharp alone as a peer of the benchmark: what decoding a folder of images takes without hashes, cache and checks.
//
// Requests and answers (json-lines.mjs):
//
//   {"command": "hello", "threads": 2}                              → {"name", "version"}
//   {"command": "make", "folder": name, "count": 10, "side": 256}   → {}, with so many JPEG files in that folder
//   {"command": "prepare", "work": {folder, side}, "variant": name} → {}
//   {"command": "run"}                                              → {"ms": milliseconds of decoding all files once}
//   {"command": "release"}                                          → {}
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { answerLines } from '../json-lines.mjs';

// It belongs to the package that reads images.
const sharp = createRequire(new URL('../../../data/package.json', import.meta.url))('sharp');

let threads = 1;
let work;

async function hello(request) {
  threads = request.threads;
  return { name: 'sharp', version: sharp.versions.sharp };
}

/** Pictures with large shapes and some grain, as photographs have them: noise alone would be all of the decoder's work. */
async function make({ folder, count, side }) {
  await mkdir(folder, { recursive: true });
  for (let index = 0; index < count; index++) {
    const pixels = Buffer.alloc(side * side * 3);
    for (let i = 0; i < side * side; i++) {
      const [x, y] = [(i % side) / side, Math.floor(i / side) / side];
      const grain = (Math.imul(i + index, 2654435761) >>> 28) - 8;
      for (let c = 0; c < 3; c++) {
        const wave = Math.sin((3 + c + (index % 7)) * x + index) * Math.cos((4 + (index % 5)) * y - c);
        pixels[3 * i + c] = Math.min(255, Math.max(0, 128 + 100 * wave + grain));
      }
    }
    const picture = sharp(pixels, { raw: { width: side, height: side, channels: 3 } });
    await picture.jpeg({ quality: 90 }).toFile(join(folder, `${index}.jpg`));
  }
  return {};
}

async function prepare(request) {
  work = request.work;
  sharp.concurrency(request.variant === 'a thread an image' ? 1 : threads);
  return {};
}

async function run() {
  const begin = performance.now();
  const files = await readdir(work.folder);
  let next = 0;
  const decodeSome = async () => {
    while (next < files.length) {
      const content = await readFile(join(work.folder, files[next++]));
      // The same pixels as ours; by default sharp would shrink by a coarser filter of the JPEG decoder.
      await sharp(content)
        .autoOrient()
        .resize(work.side, work.side, { fit: 'cover', kernel: 'lanczos3', fastShrinkOnLoad: false })
        .flatten({ background: '#fff' })
        .toColourspace('srgb')
        .raw()
        .toBuffer();
    }
  };
  await Promise.all(Array.from({ length: Math.max(4, 2 * threads) }, decodeSome));
  return { ms: performance.now() - begin };
}

await answerLines({ hello, make, prepare, run, release: async () => ({}) });
