// `pnpm test:cuda [--quick] [FILTER]`: tests of the CUDA backend without Node, on simulated GPUs: the simulator's own tests, then every kernel
// against its CPU twin and the host's side (native/tests/cuda_*.cc). Where DIFFUSE_CUDA_DRIVER names a driver they run on that, with the
// images of `pnpm build:cuda`. `--quick` takes fewer layouts of tensors and plants no bugs in the kernels (lib/planted-bugs.mjs). The last
// line is "N passed, N failed, N skipped".
import { buildSimulator, simulatorTests } from './lib/cuda-simulator.mjs';
import { buildNativeTests } from './lib/native-tests.mjs';
import { testPlantedBugs } from './lib/planted-bugs.mjs';
import { run } from './lib/project.mjs';

const args = process.argv.slice(2);
let simulator = { environment: {} };
if (!process.env.DIFFUSE_CUDA_DRIVER) {
  try {
    simulator = await buildSimulator({ tests: true });
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
if (simulator.missing) {
  console.log(`tests of the CUDA backend skipped: ${simulator.missing}\n0 passed, 0 failed, 1 skipped`);
  process.exit(0);
}

const program = buildNativeTests('build-cuda-tests', ['-DDIFFUSE_CUDA_TESTS=ON'], 'diffuse_cuda_tests');
const programs = [
  ...(process.env.DIFFUSE_CUDA_DRIVER ? [] : simulatorTests().map((path) => ({ path, args: [] }))),
  { path: program, args },
];
const total = { passed: 0, failed: 0, skipped: 0 };
for (const { path, args } of programs) {
  const { status, output, stdout } = run(path, args, { env: simulator.environment, timeoutMs: 900_000 });
  // The simulator tells on stderr of what its own tests plant; only of those that fail does one want to read it.
  process.stdout.write(status === 0 && path !== program ? stdout : output);
  const counts = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(stdout);
  const [passed, failed, skipped] = (counts ?? ['', '0', '0', '0']).slice(1).map((count = '0') => Number(count));
  total.passed += passed;
  total.skipped += skipped;
  // A program that ends without its counts, or badly with none failed, counts as one that failed.
  total.failed += failed > 0 || (counts && status === 0) ? failed : 1;
  if (!counts) console.error(`${path} ended with ${status}, without its counts`);
}
if (!process.env.DIFFUSE_CUDA_DRIVER && !args.includes('--quick')) {
  const { passed, failed } = await testPlantedBugs(program, simulator.environment, args[0] ?? '');
  total.passed += passed;
  total.failed += failed;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
