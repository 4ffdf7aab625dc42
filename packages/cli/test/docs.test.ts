// Runs what docs/notes shows, in a folder with small stand-ins for MNIST and its model: every command, every program. Programs must
// print what the page says after `// →`, and commands the warnings that it shows.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ended, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const notes = join(root, 'docs/notes');
const pages = [
  'README',
  'sigma-form',
  'step-by-step',
  'visual-introduction',
  'ddpm-definitions',
  'open-questions',
  'errata',
];

/** A fenced block of a page. */
interface Block {
  readonly language: string;
  readonly text: string;
}

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
}

const textOf = (page: string): Promise<string> => readFile(join(notes, `${page}.md`), 'utf8');

/** A command of a shell block. */
interface Command {
  readonly args: readonly string[];
  /** The file that stdout goes to. */
  readonly to: string | undefined;
}

/** The commands of a shell block. */
function commandsOf({ text }: Block): Command[] {
  const lines = text.replaceAll('\\\n', ' ').split('\n');
  return lines
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => {
      expect(line, 'a shell block has commands of diffuse alone, without quotes').toMatch(/^diffuse [^'"$|]+$/);
      const [command = '', to] = line.split(' > ');
      return { args: command.split(/\s+/).slice(1), to };
    });
}

/**
 * A training as short as can be, of the smallest model, and fewer samples to judge; other commands are fast with that model and stay as
 * they are.
 */
function shortened(args: readonly string[]): string[] {
  if (args[0] === 'evaluate') return args.map((arg, i) => (args[i - 1] === '-n' ? '40' : arg));
  if (args[0] !== 'train') return [...args];
  const dropped = new Set(['--preset', '--minutes']);
  const kept = args.filter((arg, i) => !dropped.has(arg) && !dropped.has(args[i - 1] ?? ''));
  // A classifier has no attention.
  const small = args.includes('classifier') ? tinyModel.filter((flag) => !flag.startsWith('--attention')) : tinyModel;
  return [...kept, ...small, '--steps=3'];
}

let folder: string;
let programs: string;
const home = process.cwd();
const require = createRequire(import.meta.url);

beforeAll(async () => {
  folder = await temporaryFolder();
  // Inside the repository, so that the packages are found; where neither git nor the linter looks.
  programs = await mkdtemp(join(root, 'node_modules/.docs-test-'));
  process.env.DIFFUSE_CACHE = join(folder, 'cache');
  process.chdir(folder);
  await tinyImages('photos', 64);
  await mkdir('mnist');
  const { images, labels } = await tinyIdx('mnist', 40);
  // Ten classes after the header of 8 bytes.
  await writeFile(
    labels,
    (await readFile(labels)).map((byte, i) => (i < 8 ? byte : i % 10)),
  );
  for (const [kind, file] of Object.entries({ 'images-idx3-ubyte': images, 'labels-idx1-ubyte': labels })) {
    for (const part of ['train', 't10k']) await copyFile(file, join('mnist', `${part}-${kind}`));
  }
});

afterAll(async () => {
  process.chdir(home);
  delete process.env.DIFFUSE_CACHE;
  await rm(programs, { recursive: true, force: true });
});

const programsOf = async (page: string): Promise<string[]> =>
  blocksOf(await textOf(page)).flatMap(({ language, text }) => (language === 'ts' ? [text] : []));

/** Writes a program where the packages are found. */
async function save(name: string, text: string): Promise<string> {
  const file = join(programs, `${name}.mts`);
  await writeFile(file, text);
  return file;
}

/** Runs Node; returns the lines that it prints. */
async function printed(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await ended(spawn(process.execPath, args, { cwd: folder }));
  expect(`${stderr}${code === 0 ? '' : stdout}`).toBe('');
  expect(code).toBe(0);
  return stdout.split('\n').slice(0, -1);
}

/** Runs a program with the sources of the packages. */
async function outputOf(name: string, text: string): Promise<string[]> {
  const tsx = pathToFileURL(require.resolve('tsx')).href;
  return printed('--conditions=@diffuse/source', '--import', tsx, await save(name, text));
}

const runsOfPages = new Map<string, Promise<void>>();

/** Runs what a page shows, once. The first page makes the model that the others use. */
function pageDone(page: string): Promise<void> {
  const running = runsOfPages.get(page) ?? runPage(page);
  runsOfPages.set(page, running);
  return running;
}

/** Runs commands and programs in the order of the page: one may need what another wrote. */
async function runPage(page: string): Promise<void> {
  const blocks = blocksOf(await textOf(page));
  let answers = '';
  for (const [i, block] of blocks.entries()) {
    expect(['', 'sh', 'ts']).toContain(block.language);
    if (block.language === 'sh') for (const command of commandsOf(block)) answers += await answerOf(command);
    if (block.language === 'ts') await runProgram(`${page}-${i}`, block.text);
  }
  const shown = blocks.flatMap(({ language, text }) => (language === '' ? text.split('\n') : []));
  for (const line of shown.filter((text) => text.startsWith('warning: '))) expect(answers).toContain(`${line}\n`);
}

/** What a command prints; it must succeed without a word on stderr. */
async function answerOf({ args, to }: Command): Promise<string> {
  const { code, stdout, stderr } = await run(...shortened(args), '--quiet');
  expect(stderr, args.join(' ')).toBe('');
  expect(code, args.join(' ')).toBe(0);
  if (to !== undefined) await writeFile(to, stdout);
  if (args.includes('--out')) await stat(args[args.indexOf('--out') + 1] as string);
  return stdout;
}

async function runProgram(name: string, text: string): Promise<void> {
  const promised = [...text.matchAll(/\/\/ → ?(.*)$/gm)].map(([, line = '']) => line);
  const lines = await outputOf(name, text);
  if (promised.length > 0) expect(lines).toEqual(promised);
}

describe.each(pages)('%s', (page) => {
  test('its links lead to what they name', async () => {
    const text = await textOf(page);
    const links = [...text.matchAll(/\[([^\]]*)\]\(([^)#]+)[^)]*\)/g)];
    for (const [, label = '', target = ''] of links.filter(([, , url = '']) => !url.startsWith('https:'))) {
      const path = join(notes, target);
      const found = await stat(path).catch(() => undefined);
      expect(found, `${target} does not exist`).toBeDefined();
      const name = /^`(\w+)`$/.exec(label)?.[1];
      if (name === undefined) continue;
      expect(await readFile(path, 'utf8'), `${target} does not have ${name}`).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });

  test('its commands and programs run', { timeout: 120_000 }, async () => {
    await pageDone('README');
    await pageDone(page);
  });
});

test('the types of the programs are right', { timeout: 120_000 }, async () => {
  const files: string[] = [];
  for (const page of pages) {
    for (const [i, text] of (await programsOf(page)).entries()) files.push(await save(`types-${page}-${i}`, text));
  }
  const config = join(programs, 'tsconfig.json');
  await writeFile(config, JSON.stringify({ extends: join(root, 'tsconfig.test.json'), include: [], files }));
  expect(await printed(require.resolve('typescript/bin/tsc'), '--project', config)).toEqual([]);
});

test("the program of the project's README runs", { timeout: 120_000 }, async () => {
  const markdown = await readFile(join(root, 'README.md'), 'utf8');
  let [program = ''] = blocksOf(markdown).flatMap(({ language, text }) => (language === 'ts' ? [text] : []));
  const smaller = {
    'resolution: 64': 'resolution: 8',
    'channels: [64, 128, 256]': 'channels: [8, 16]',
    'attention: [16]': 'attention: [4]',
    'steps: 10_000': 'steps: 2',
  };
  for (const [size, small] of Object.entries(smaller)) {
    expect(program).toContain(size);
    program = program.replace(size, small);
  }
  await outputOf('project', program);
  await stat('samples.png');
});

test('the pictures are small, and each is on a page', async () => {
  const text = (await Promise.all(pages.map(textOf))).join('\n');
  for (const name of await readdir(join(notes, 'images'))) {
    expect(text).toContain(`](images/${name})`);
    expect((await stat(join(notes, 'images', name))).size, name).toBeLessThan(150_000);
  }
});

test('no page is left out', async () => {
  const files = (await readdir(notes)).filter((name) => name.endsWith('.md'));
  expect(files.map((name) => basename(name, '.md')).sort()).toEqual([...pages].sort());
});
