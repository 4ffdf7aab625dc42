// The ONNX runtime as a peer of the benchmark, in a process of its own: its threads spin, and its memory is not ours.
//
// Requests and answers (json-lines.mjs):
//
//   {"command": "hello", "threads": 2, "home": folder}     → {"name", "version"} or {"missing": reason}
//   {"command": "prepare", "path": file, "variant": name}  → {}; feeds of ones, in the shapes that the file fixes
//   {"command": "run"}                                     → {"ms": milliseconds of one forward pass}
//   {"command": "release"}                                 → {}
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { answerLines } from '../json-lines.mjs';

let runtime;
let threads = 1;
let session;
let feeds;

/** The package is an optional one of hundreds of megabytes, so that it is looked for in the folder `home`. */
async function hello(request) {
  threads = request.threads;
  try {
    const entry = createRequire(join(request.home, 'package.json')).resolve('onnxruntime-node');
    const loaded = await import(pathToFileURL(entry).href);
    runtime = loaded.default ?? loaded;
    const folder = entry.slice(0, entry.lastIndexOf('onnxruntime-node') + 'onnxruntime-node'.length);
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return { name: 'onnxruntime-node', version };
  } catch (error) {
    return { missing: error.message.split('\n')[0] };
  }
}

async function prepare({ path, variant }) {
  await release();
  session = await runtime.InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    extra: { session: { intra_op: { allow_spinning: variant === 'spinning' ? '1' : '0' } } },
  });
  feeds = Object.fromEntries(
    session.inputMetadata.map(({ name, shape }) => {
      const size = shape.reduce((product, side) => product * side, 1);
      return [name, new runtime.Tensor('float32', new Float32Array(size).fill(1), shape)];
    }),
  );
  return {};
}

async function measure() {
  const begin = performance.now();
  await session.run(feeds);
  return { ms: performance.now() - begin };
}

async function release() {
  await session?.release();
  session = undefined;
  return {};
}

await answerLines({ hello, prepare, run: measure, release });
