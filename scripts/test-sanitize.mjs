// `pnpm test:sanitize [address|thread]`: builds the native tests with sanitizers and runs them. address (with undefined behaviour)
// finds memory errors, in build-asan/; thread finds data races, in build-tsan/.
import { buildNativeTests } from './lib/native-tests.mjs';
import { has, run } from './lib/project.mjs';

const variants = {
  address: { folder: 'build-asan', env: { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' } },
  thread: { folder: 'build-tsan', env: { TSAN_OPTIONS: 'halt_on_error=1' } },
};
const wanted = process.argv.slice(2);
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

let failed = false;
for (const [name, { folder, env }] of Object.entries(variants)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`${name} sanitizer:`);
  // Instrumented kernels take minutes to optimize further, and nothing here is timed.
  const program = buildNativeTests(folder, [`-DDIFFUSE_SANITIZE=${name}`, '-DCMAKE_CXX_FLAGS_RELEASE=-O1']);
  const { status, output } = runTests(program, env);
  process.stdout.write(output);
  if (status !== 0) {
    console.error(`the native tests failed under the ${name} sanitizer (${status})`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
