// Bugs planted in this project's own kernels: one barrier, wait or bound less in the text of a file, which is compiled and run by the tests of
// an op. The simulator has to find it by the check that is there for it, in the lines that it concerns. They show that what the simulator finds
// in small kernels it finds in real ones, and that the tests come by there.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { changedPtx, factsFile, findCompiler, ptxFolder } from './cuda.mjs';
import { root, run } from './project.mjs';

/** Where `load` of cuda/common/image.h reads, and `load_matrices` of cuda/common/instructions.h. */
const loaded = '*reinterpret_cast<const Pack<T, N>*>(from)';
const matricesLoaded = '"r"(address)';

/**
 * `file` is changed where it has the text `from`, exactly once, `source` is compiled and `test` run, on few shapes or, with `whole`, on all. The
 * first finding is of one of `kinds`; its line, and of a race also that of the access before, has one of the texts `lines`. Whoever changes such
 * a place in a kernel plants the bug anew.
 */
const bugs = [
  {
    name: 'group_norm_without_barrier',
    file: 'cuda/ops/group_norm.cu',
    from: '  __syncthreads();\n  const int32_t slot',
    to: '  const int32_t slot',
    source: 'cuda/ops/group_norm.cu',
    test: 'channel_moments',
    // Shared memory is fresh: who is early reads what nobody wrote.
    kinds: ['race', 'uninitialised'],
    lines: [
      'of_warp[warp][line_place<float>(lane * Width + k)] = own;',
      'const float all = count + other.count,',
      'Moments all = of_warp[0]',
    ],
  },
  {
    name: 'block_sum_without_barrier',
    file: 'cuda/common/reduce.h',
    from: '  __syncthreads();\n  T sum = shared[0];',
    to: '  T sum = shared[0];',
    source: 'cuda/ops/group_norm.cu',
    test: 'group_norm_statistics',
    kinds: ['race', 'uninitialised'],
    lines: ['shared[threadIdx.x / kWarp] = value;', 'sum += shared[warp];', 'T sum = shared[0];'],
  },
  {
    name: 'attention_without_wait',
    file: 'cuda/attention/matrix_forward.h',
    from: '    wait_for_copies<0>();\n    __syncthreads();\n    if (first',
    to: '    __syncthreads();\n    if (first',
    source: 'cuda/ops/attention.cu',
    test: 'attention_forward',
    kinds: ['pending copy'],
    lines: [matricesLoaded],
  },
  {
    name: 'attention_without_barrier',
    file: 'cuda/attention/matrix_forward.h',
    from: '    wait_for_copies<0>();\n    __syncthreads();\n    if (first',
    to: '    wait_for_copies<0>();\n    if (first',
    source: 'cuda/ops/attention.cu',
    test: 'attention_forward',
    kinds: ['race', 'uninitialised'],
    lines: [
      matricesLoaded,
      '"cp.async',
      '*reinterpret_cast<Pack<T, N>*>(to) = pack;',
      'tile[r * kMatrixStride<T, D> + c] =',
    ],
  },
  {
    name: 'convolution_that_waits_for_too_few',
    file: 'cuda/gemm/convolution.h',
    from: 'wait_for_copies<Stages - 2>();',
    to: 'wait_for_copies<Stages - 1>();',
    source: 'cuda/ops/conv2d.cu',
    test: 'conv2d_forward',
    kinds: ['pending copy'],
    lines: [loaded],
  },
  {
    name: 'matrix_product_in_one_buffer',
    file: 'cuda/ops/matmul.cu',
    from: 'line += Core::kLines, stage ^= 1)',
    to: 'line += Core::kLines)',
    source: 'cuda/ops/matmul.cu',
    test: 'matmul',
    kinds: ['race'],
    lines: ['tile[tile_offset<kMatmulTile, float>', loaded],
  },
  {
    name: 'sums_of_parts_without_barrier',
    file: 'cuda/common/line_sums.h',
    from: '  shared[threadIdx.x] = sum;\n  __syncthreads();\n',
    to: '  shared[threadIdx.x] = sum;\n',
    source: 'cuda/ops/reductions.cu',
    test: 'sum_pixels',
    kinds: ['race', 'uninitialised'],
    lines: ['shared[threadIdx.x] = sum;', 'sum += shared['],
  },
  {
    name: 'optimizer_beyond_the_end',
    file: 'cuda/ops/optimizer.cu',
    from: 'i = packed + thread; i < end;',
    to: 'i = packed + thread; i <= end;',
    source: 'cuda/ops/optimizer.cu',
    test: 'adamw_ema',
    kinds: ['out of bounds'],
    lines: [loaded],
  },
  {
    name: 'optimizer_without_barrier',
    file: 'cuda/ops/optimizer.cu',
    from: '  __syncthreads();\n  if (coefficients.skip) return;',
    to: '  if (coefficients.skip) return;',
    source: 'cuda/ops/optimizer.cu',
    test: 'adamw_ema',
    kinds: ['race', 'uninitialised'],
    lines: ['if (coefficients.skip) return;', 'coefficients_of(arguments)'],
  },
  {
    name: 'optimizer_in_packs_wherever_memory_begins',
    file: 'cuda/ops/optimizer.cu',
    from: 'packed = aligned ? begin + (end - begin) / kPack * kPack : begin;',
    to: 'packed = begin + (end - begin) / kPack * kPack;',
    source: 'cuda/ops/optimizer.cu',
    test: 'gradient_norm',
    whole: true,
    kinds: ['misaligned'],
    lines: [loaded],
  },
  {
    name: 'group_norm_returns_before_its_barrier',
    file: 'cuda/ops/group_norm.cu',
    from: '  __syncthreads();\n  const int32_t slot = threadIdx.x, channel = first_channel_of(t) + slot;\n  if (slot >= t.columns * Width || channel >= channels) return;\n',
    to: '  const int32_t slot = threadIdx.x, channel = first_channel_of(t) + slot;\n  if (slot >= t.columns * Width || channel >= channels) return;\n  __syncthreads();\n',
    source: 'cuda/ops/group_norm.cu',
    test: 'channel_moments',
    kinds: ['divergent barrier'],
    lines: ['__syncthreads();'],
  },
];

const folder = join(root, 'build/cuda/planted');

/** The images as they are, but for one. */
function imagesWith(image, ptx) {
  const images = join(folder, 'images');
  rmSync(images, { recursive: true, force: true });
  mkdirSync(images, { recursive: true });
  for (const name of readdirSync(ptxFolder)) {
    if (name === factsFile || name.endsWith('.ptx')) symlinkSync(join(ptxFolder, name), join(images, name));
  }
  rmSync(join(images, `${image}.ptx`));
  writeFileSync(join(images, `${image}.ptx`), ptx);
  return images;
}

const textAt = ({ file, line }) => readFileSync(join(root, file), 'utf8').split('\n')[line - 1];

/** What is wrong with how a bug was found; undefined if nothing is. */
async function problemOf(bug, program, environment) {
  const original = readFileSync(join(root, bug.file), 'utf8');
  if (original.split(bug.from).length !== 2)
    return `${bug.file} has no one place to change: ${JSON.stringify(bug.from)}`;
  const changed = new Map([[bug.file, original.replace(bug.from, bug.to)]]);
  rmSync(folder, { recursive: true, force: true });
  const ptx = await changedPtx(findCompiler(), bug.source, changed, folder);
  const report = join(folder, 'findings.jsonl');
  const env = {
    ...environment,
    DIFFUSE_CUDA_IMAGES: imagesWith(basename(bug.source, '.cu'), ptx),
    CUDA_SIMULATOR_REPORT: report,
  };
  const { output } = run(program, bug.whole ? [bug.test] : ['--quick', bug.test], { env, timeoutMs: 300_000 });
  const said = existsSync(report) ? readFileSync(report, 'utf8').split('\n')[0] : '';
  if (said === '') return `nothing was found:\n${output}`;
  const finding = JSON.parse(said);
  if (!bug.kinds.includes(finding.kind)) return `expected ${bug.kinds.join(' or ')}: ${said}`;
  if (finding.kind === 'race' && !finding.earlier) return `one access only: ${said}`;
  const wrong = [finding, finding.earlier].filter(
    (place) => place && !bug.lines.some((line) => textAt(place).includes(line)),
  );
  if (wrong.length > 0)
    return `found at ${wrong.map((place) => `${place.file}:${place.line}: ${textAt(place).trim()}`).join(' and ')}: ${said}`;
}

/**
 * Plants those whose names contain the filter, one after the other, and says of each how it was found.
 *
 * @returns `{ passed, failed }`
 */
export async function testPlantedBugs(program, environment, filter) {
  const counts = { passed: 0, failed: 0 };
  for (const bug of bugs) {
    const name = `planted_${bug.name}`;
    if (!name.includes(filter)) continue;
    const problem = await problemOf(bug, program, environment);
    console.log(problem === undefined ? `ok      ${name}` : `FAILED  ${name}: ${problem}`);
    counts[problem === undefined ? 'passed' : 'failed']++;
  }
  return counts;
}
