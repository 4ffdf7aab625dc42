// `pnpm test:sanitize [address|thread] [--cuda]`: builds the native tests with sanitizers and runs them. address (with undefined behaviour)
// finds memory errors, in build-asan/; thread finds data races, in build-tsan/. `--cuda` runs those of the CUDA backend instead, on a simulator
// of GPUs that is built with the same sanitizer.
import { buildSimulator } from './lib/cuda-simulator.mjs';
import { buildNativeTests } from './lib/native-tests.mjs';
import { has, run } from './lib/project.mjs';

const variants = {
  address: { folder: 'build-asan', env: { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' } },
  thread: { folder: 'build-tsan', env: { TSAN_OPTIONS: 'halt_on_error=1' } },
};
const cuda = process.argv.includes('--cuda');
const wanted = process.argv.slice(2).filter((argument) => argument !== '--cuda');
const unknown = wanted.filter((name) => !variants[name]);
if (unknown.length > 0) {
  console.error(`'${unknown.join("', '")}' is no sanitizer; there are ${Object.keys(variants).join(', ')}`);
  process.exit(2);
}

/** Runs the program; where address randomisation is too wide for the thread sanitizer, once more without it. */
function runTests(program, env) {
  const result = run(program, ['--quick'], { env });
  if (!/unexpected memory mapping/.test(result.output) || !has('setarch')) return result;
  return run('setarch', ['--addr-no-randomize', program, '--quick'], { env });
}

/** Variables by which the program finds simulator and kernels. Ends the process where there cannot be any. */
async function simulatorWith(sanitizer) {
  const { environment, missing } = await buildSimulator({ sanitizer });
  if (!missing) return environment;
  console.log(`tests of the CUDA backend with sanitizers skipped: ${missing}`);
  process.exit(0);
}

let failed = false;
for (const [name, { folder, env }] of Object.entries(variants)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`${name} sanitizer:`);
  const simulator = cuda ? await simulatorWith(name) : {};
  // Instrumented kernels take minutes to optimize further, and nothing here is timed.
  const settings = [`-DDIFFUSE_SANITIZE=${name}`, '-DCMAKE_CXX_FLAGS_RELEASE=-O1'];
  const program = cuda
    ? buildNativeTests(folder, [...settings, '-DDIFFUSE_CUDA_TESTS=ON'], 'diffuse_cuda_tests')
    : buildNativeTests(folder, settings);
  const { status, output } = runTests(program, { ...simulator, ...env });
  process.stdout.write(output);
  if (status !== 0) {
    console.error(`the native tests failed under the ${name} sanitizer (${status})`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
