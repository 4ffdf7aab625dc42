// Compiles the device code under cuda/ops: one PTX text a file, machine code of it for every architecture, one image of both.
// Each step's result is kept in build/cuda/cache under a name that holds the hash of all it was made of.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { cudaBuildId } from './cuda-build-id.mjs';
import { filesIn, root } from './project.mjs';

/** Compute capabilities that images hold machine code for; drivers compile the PTX for later ones. */
export const architectures = [80, 86, 89, 90, 100, 120];
/** PTX is made for the oldest of them, and machine code is made of the PTX: nothing here needs what later ones added. */
const ptxArchitecture = 80;
const ptxTarget = `compute_${ptxArchitecture}`;
/** The first nvcc that knows all of them. */
const oldestNvcc = 12.8;

const compilerFlags = [
  '-std=c++17',
  '-O3',
  '-lineinfo',
  '-Werror',
  'all-warnings',
  '--expt-relaxed-constexpr',
  ...['-I', 'native', '-I', 'cuda'],
  ...['-ptx', `-arch=${ptxTarget}`],
];
/** Loops of unknown length stay as they are written: no copies that work on several turns at once. */
const rolledFlags = [...compilerFlags, '-Xcicc', '--Xopt=-unroll-runtime=0'];
const assemblerFlags = ['-v', '--warning-as-error'];

const cache = join(root, 'build/cuda/cache');
/** Where the PTX of every file lies, for the simulator. */
export const ptxFolder = join(root, 'build/cuda/ptx');
/** Where the addon of this checkout looks for images. */
export const imageFolder = join(root, 'build/Release/cuda');

/** Beside the images: which build of the addon they are for, and what they were made of; read by native/cuda/image_folder.cc. */
export const factsFile = 'images.txt';

/** The device code, one path from the root for each image. */
export const sources = () => filesIn('cuda/ops', /\.cu$/);

/**
 * The CUDA compiler: named by `CUDACXX`, in `CUDA_HOME`, on the path or where NVIDIA installs it.
 *
 * @returns its programs and version, or a sentence that says why there is none
 */
export function findCompiler() {
  const { CUDACXX, CUDA_HOME, CUDA_PATH } = process.env;
  const homes = [CUDA_HOME, CUDA_PATH].filter(Boolean).map((home) => join(home, 'bin/nvcc'));
  const places = CUDACXX ? [CUDACXX] : [...homes, 'nvcc', '/usr/local/cuda/bin/nvcc'];
  for (const nvcc of places) {
    const { error, stdout } = spawnSync(nvcc, ['--version'], { encoding: 'utf8' });
    const version = error ? undefined : /release (\d+\.\d+)/.exec(stdout)?.[1];
    if (version === undefined) continue;
    if (Number(version) < oldestNvcc)
      return { missing: `${nvcc} is version ${version}; ${oldestNvcc} is the oldest that knows sm_120` };
    const beside = (name) => (dirname(nvcc) === '.' ? name : join(dirname(nvcc), name));
    return {
      nvcc,
      ptxas: beside('ptxas'),
      fatbinary: beside('fatbinary'),
      release: version,
      version: stdout.trim().split('\n').at(-1),
    };
  }
  return { missing: `nvcc was not found (looked for ${places.join(', ')}); CUDACXX or CUDA_HOME names it` };
}

/**
 * Compiles every file to PTX in {@link ptxFolder}.
 *
 * @returns image → path of its PTX
 */
export async function buildPtx(compiler) {
  const built = await forEach(sources(), async (source) => [imageName(source), (await ptxOf(compiler, source)).path]);
  return publish(ptxFolder, built, '.ptx', [ptxTarget], compiler);
}

/**
 * Compiles every file to PTX whose loops the compiler has not unrolled of its own accord, which is nearer to the source.
 *
 * @returns image → its PTX
 */
export async function rolledPtx(compiler) {
  const built = await forEach(sources(), async (source) => {
    const { name, path } = await ptxOf(compiler, source, { flags: rolledFlags, extension: '.rolled.ptx' });
    return [name, readFileSync(path, 'utf8')];
  });
  return new Map(built);
}

/**
 * Compiles every file to an image in {@link imageFolder}, with a report of the resources that each entry takes, `resources.json`.
 *
 * @returns the report: image → entry → `{ threads, architectures: { sm_80: { registers, shared, stack, spills } … } }`
 */
export async function buildImages(compiler) {
  const reports = {};
  const built = await forEach(sources(), async (source) => {
    const ptx = await withoutLines(await ptxOf(compiler, source));
    const machineCode = [];
    for (const architecture of architectures) machineCode.push(await assemble(compiler, ptx, architecture));
    reports[imageName(source)] = mergeReports(readFileSync(ptx.path, 'utf8'), machineCode);
    return [imageName(source), await pack(compiler, ptx, machineCode)];
  });
  const targets = [...architectures.map((architecture) => `sm_${architecture}`), ptxTarget];
  publish(imageFolder, built, '.fatbin', targets, compiler);
  const resources = Object.fromEntries(Object.entries(reports).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(join(imageFolder, 'resources.json'), `${JSON.stringify(resources, null, 1)}\n`);
  return resources;
}

const imageName = (source) => basename(source, '.cu');

/** Runs `body` on as many items at a time as there are cores; the largest files begin. Results in the order of the items. */
async function forEach(items, body) {
  const size = new Map(items.map((item) => [item, readFileSync(join(root, item)).length]));
  const waiting = [...items].sort((a, b) => size.get(b) - size.get(a));
  const results = new Map();
  const problems = [];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      try {
        results.set(item, await body(item));
      } catch (error) {
        problems.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return items.map((item) => results.get(item));
}

/** Makes a folder hold exactly the built files and their facts; files that have not changed keep their time stamps. */
function publish(folder, built, extension, targets, compiler) {
  mkdirSync(folder, { recursive: true });
  const facts = describeImages(built, targets, compiler);
  const factsPath = join(folder, factsFile);
  // What a build that is stopped halfway leaves is of no build.
  if (existsSync(factsPath) && readFileSync(factsPath, 'utf8') !== facts) rmSync(factsPath);
  const paths = new Map(built.map(([name, path]) => [`${name}${extension}`, path]));
  for (const name of readdirSync(folder)) {
    if (name.endsWith(extension) && !paths.has(name)) rmSync(join(folder, name));
  }
  for (const [name, path] of paths) {
    const to = join(folder, name);
    const bytes = readFileSync(path);
    if (!existsSync(to) || !readFileSync(to).equals(bytes)) writeWhole(to, bytes);
  }
  if (!existsSync(factsPath)) writeWhole(factsPath, facts);
  return new Map(built.map(([name]) => [name, join(folder, `${name}${extension}`)]));
}

/** A line each: the build that the images are for, a hash of the images, what they hold code for, what compiled them. */
function describeImages(built, targets, { release }) {
  const hash = hashOf(built.map(([name, path]) => [name, readFileSync(path, 'latin1')]));
  return `build ${cudaBuildId()}\nhash ${hash}\ntargets ${targets.join(' ')}\ncompiler nvcc ${release}\n`;
}

/** Writes beside and renames, so that nobody reads half a file. */
function writeWhole(path, bytes) {
  const beside = `${path}.${process.pid}`;
  writeFileSync(beside, bytes);
  renameSync(beside, path);
}

/** A file and every file of the project that it includes, directly or not, as text. */
function withIncludes(source) {
  const texts = new Map();
  const waiting = [source];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (texts.has(file)) continue;
    const text = readFileSync(join(root, file), 'utf8');
    texts.set(file, text);
    for (const [, included] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
      const places = [join(dirname(file), included), join('native', included), join('cuda', included)];
      const found = places.find((place) => existsSync(join(root, place)));
      if (found) waiting.push(found);
    }
  }
  return [...texts].sort(([a], [b]) => (a < b ? -1 : 1));
}

const hashOf = (...parts) => createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);

/** What is made once for a key: `make` writes the file whose path it is given. Older results of the same name are removed. */
async function cached(name, key, extension, make) {
  const path = join(cache, `${name}.${key}${extension}`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const beside = `${path}.${process.pid}`;
  await make(beside);
  renameSync(beside, path);
  const older = (file) =>
    /^\w+/.exec(file)[0] === name && file.slice(name.length + 17) === extension && file !== basename(path);
  for (const file of readdirSync(cache).filter(older)) rmSync(join(cache, file), { force: true });
  return path;
}

/**
 * Compiles a file of which parts are changed.
 *
 * @param changed path from the root → text, of the file or of headers that it includes
 * @returns the PTX; its line information names the files in `folder`, where the changed ones are written
 */
export async function changedPtx(compiler, source, changed, folder) {
  for (const [path, text] of changed) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const to = join(folder, `${imageName(source)}.ptx`);
  const first = ['native', 'cuda'].flatMap((place) => ['-I', join(folder, place)]);
  const from = changed.has(source) ? join(folder, source) : source;
  await start(compiler.nvcc, [...first, ...compilerFlags, '-o', to, from]);
  return withoutMachinePaths(readFileSync(to, 'utf8'));
}

async function ptxOf(compiler, source, { flags = compilerFlags, extension = '.ptx' } = {}) {
  const name = imageName(source);
  const key = hashOf(compiler.version, flags, withIncludes(source));
  const path = await cached(name, key, extension, async (to) => {
    await start(compiler.nvcc, [...flags, '-o', to, source]);
    writeFileSync(to, withoutMachinePaths(readFileSync(to, 'utf8')));
  });
  return { name, key, path };
}

/** Line information names files from the root of the project on, and headers of the toolkit by their names alone. */
function withoutMachinePaths(ptx) {
  return ptx.replace(/^(\s*\.file\s+\d+\s+)"([^"]+)"/gm, (_, directive, path) => {
    const own = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : basename(path);
    return `${directive}"${own}"`;
  });
}

/** The PTX as images are made of it: without line information, which would be more than half of them. */
async function withoutLines({ name, path }) {
  const text = readFileSync(path, 'utf8')
    .replace(/^\s*\.(?:loc|file)\b.*\n/gm, '')
    .replace(/^\s*\.section\s+\.debug_\w+\s*\{[^}]*\}\n?/gm, '');
  const key = hashOf(text);
  return { name, key, path: await cached(name, key, '.plain.ptx', async (to) => writeFileSync(to, text)) };
}

/** Machine code of a PTX text, and what the assembler says that it takes. */
async function assemble({ ptxas, version }, { name, key: text, path }, architecture) {
  const target = `sm_${architecture}`;
  const key = hashOf(version, assemblerFlags, text);
  let said;
  const code = await cached(name, key, `.${target}.cubin`, async (to) => {
    said = await start(ptxas, [...assemblerFlags, `-arch=${target}`, '-o', to, path]);
  });
  const report = await cached(name, key, `.${target}.txt`, async (to) => {
    // The code alone may be left of a build that was stopped between the two.
    said ??= await start(ptxas, [...assemblerFlags, `-arch=${target}`, '-o', code, path]);
    writeFileSync(to, said);
  });
  return { target, architecture, code, key, entries: readReport(readFileSync(report, 'utf8')) };
}

/** What `ptxas -v` says of each entry. */
function readReport(text) {
  const entries = {};
  for (const section of text.split(/(?=Compiling entry function ')/).slice(1)) {
    const number = (pattern) => Number(pattern.exec(section)?.[1] ?? 0);
    entries[/'([^']+)'/.exec(section)[1]] = {
      registers: number(/Used (\d+) registers/),
      shared: number(/(\d+) bytes smem/),
      stack: number(/(\d+) bytes stack frame/),
      spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
    };
  }
  return entries;
}

/** Entry → threads of a block (0 without launch bounds) and what it takes on each architecture. */
function mergeReports(ptx, machineCode) {
  const entries = {};
  for (const [, name, directives] of ptx.matchAll(/\.entry (\w+)\([^)]*\)([^{]*)\{/g)) {
    entries[name] = {
      threads: Number(/\.maxntid (\d+)/.exec(directives)?.[1] ?? 0),
      architectures: Object.fromEntries(machineCode.map(({ target, entries }) => [target, entries[name]])),
    };
  }
  return entries;
}

async function pack({ fatbinary, version }, { name, path }, machineCode) {
  const key = hashOf(
    version,
    machineCode.map((code) => [code.target, code.key]),
  );
  const images = [
    ...machineCode.map(({ architecture, code }) => `--image3=kind=elf,sm=${architecture},file=${code}`),
    `--image3=kind=ptx,sm=${ptxArchitecture},file=${path}`,
  ];
  return cached(name, key, '.fatbin', (to) => start(fatbinary, ['-64', '--compress-all', `--create=${to}`, ...images]));
}

/** Runs a program in the root; resolves with what it printed, rejects with that if it failed. */
function start(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
    }
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(said);
      else reject(new Error(`${said.trim()}\n${basename(command)} failed (${status}): ${command} ${args.join(' ')}`));
    });
  });
}
