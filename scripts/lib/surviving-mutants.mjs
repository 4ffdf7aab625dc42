// Mutants of kernels that no test can notice, each with the reason: cuda/surviving_mutants.json. A mutant is known by the text of the line
// of the source that it belongs to, so that the list holds when other lines move.
//
//   [{ "why": "…",                                        what is still right about the kernel with the mutant in it
//      "mutants": [{ "file": "cuda/common/pixels.h",
//                    "code": "while (row < rows) {",       the line, without the space around it
//                    "changes": ["lt became le"],          as the changes of ptx-mutations.mjs are called
//                    "instruction": "setp.lt.s64",         what the PTX line begins with, where one of several is meant; may be absent
//                    "entry": "silu_forward_f32" }] }]     the kernel, where it holds for one alone; may be absent
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './project.mjs';

/** Reads the list. */
export function readExplanations() {
  const path = join(root, 'cuda/surviving_mutants.json');
  const reasons = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [];
  const known = reasons.flatMap(({ mutants }) => mutants);
  const sources = new Map();
  const codeAt = ({ file, sourceLine }) => {
    const source = join(root, file);
    if (!sources.has(file)) sources.set(file, existsSync(source) ? readFileSync(source, 'utf8').split('\n') : []);
    return sources.get(file)[sourceLine - 1]?.trim();
  };
  const fits = ({ file, code, instruction, entry }, change, mutant) =>
    file === mutant.file &&
    change === mutant.change &&
    (instruction === undefined || withoutGuard(mutant.from).startsWith(instruction)) &&
    (entry === undefined || entry === mutant.entry) &&
    code === codeAt(mutant);
  return {
    /** Whether a survivor is on the list. */
    explains: (mutant) => known.some((entry) => entry.changes.some((change) => fits(entry, change, mutant))),
    /** What the list says of mutants that are not there any more, of all the images' `mutants`. */
    stale: (mutants) =>
      known.flatMap((entry) =>
        entry.changes
          .filter((change) => !mutants.some((mutant) => fits(entry, change, mutant)))
          .map(
            (change) =>
              `there is no mutant "${change}" of ${entry.instruction ?? 'any instruction'} at ${entry.file}: ${entry.code}`,
          ),
      ),
  };
}

const withoutGuard = (instruction) => instruction.replace(/^\{?\s*@!?%\w+\s+/, '');
