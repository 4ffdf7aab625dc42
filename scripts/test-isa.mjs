// `pnpm test:isa`: runs the native tests on this CPU, in full, and on emulated CPUs without AVX-512 and without AVX2. That the program
// gets through there proves that dispatch picks the right kernels and that no instruction of a newer CPU leaked into older code.
import { buildNativeTests } from './lib/native-tests.mjs';
import { has, run } from './lib/project.mjs';

/** CPU models of QEMU, and the instruction set that must be found on each. */
const cpus = [
  { model: 'Nehalem', isa: 'portable' },
  { model: 'Haswell', isa: 'avx2' },
];

function skip(why) {
  console.log(`emulated CPUs skipped: ${why}`);
  process.exit(0);
}

const program = buildNativeTests('build-tests');
console.log('this CPU:');
const here = run(program, [], { timeoutMs: 900_000 });
process.stdout.write(here.output);
if (here.status !== 0) {
  console.error(`the native tests failed (${here.status})`);
  process.exit(1);
}

if (process.arch !== 'x64') skip(`this is ${process.arch}; instruction sets are chosen at run time on x64 only`);
if (!has('qemu-x86_64')) skip('qemu-x86_64 was not found (Debian, Ubuntu: apt-get install -y qemu-user)');

let failed = false;
for (const { model, isa } of cpus) {
  console.log(`${model}, expecting ${isa}:`);
  const { status, output } = run('qemu-x86_64', ['-cpu', model, program, '--quick', '--expect-isa', isa], {
    timeoutMs: 900_000,
  });
  // QEMU names each feature of the model that it does not emulate; none of them is used.
  process.stdout.write(output.replace(/^qemu-x86_64: warning: TCG doesn't support requested feature.*\n/gm, ''));
  if (status !== 0) {
    console.error(`the native tests failed on an emulated ${model} (${status})`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
