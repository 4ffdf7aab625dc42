// Text: sentences of a small grammar, 24 letters long, by discrete diffusion (D3PM) that masks letters and learns to unmask them.
//
//   npx tsx --conditions=@diffuse/source examples/text.ts
//
// Prints sampled sentences.
import {
  adamW,
  type DiscreteTransition,
  discreteDiffusion,
  openDevice,
  sampleTokens,
  tokenObjective,
  tokenUNet,
  train,
} from '@diffuse/core';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';

/** Options of the example; a test runs it with less. */
export interface TextOptions {
  readonly steps?: number;
  readonly seed?: number;
  /** Sentences in the data. */
  readonly sentences?: number;
  /** Letters are masked (`absorbing`) or replaced by any other (`uniform`). */
  readonly transition?: DiscreteTransition;
  /** Print progress and samples. */
  readonly verbose?: boolean;
}

/** How well the model does. */
export interface TextJudgement extends Judgement {
  /** Share of the samples that are sentences of the grammar, letter by letter. */
  readonly grammatical: number;
}

const alphabet = ' abcdefghijklmnopqrstuvwxyz';
const length = 24;

const subjects = ['the cat', 'a dog', 'the bird', 'my fox'];
const verbs = ['sees', 'likes', 'hears', 'seeks'];
const objects = ['the sun', 'a bone', 'the moon', 'my hat'];

/**
 * Trains on sentences, samples, and judges the samples by the energy distance of their letters as vectors with one 1 a place. The
 * distance of two such vectors is the root of twice the number of letters that differ, so this compares the laws of whole sentences.
 */
export async function run({
  steps = 1000,
  seed = 0,
  sentences = 512,
  transition = 'absorbing',
  verbose = false,
}: TextOptions = {}): Promise<TextJudgement> {
  const data = inMemory(anySentences(sentences, randomSource(seed)), [length]);
  const diffusion = discreteDiffusion({ tokens: alphabet.length, transition, steps: 50 });
  const model = tokenUNet({ length, diffusion, channels: [64, 128], attention: true });
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 2e-3, weightDecay: 0 });
  const options = { model, data, device, steps, seed, optimizer, learningRateShape: 'cosine' } as const;
  const objective = tokenObjective(diffusion);
  for await (const { step, outputs } of train({ ...options, objective, batchSize: 64, ema: 0.99 })) {
    if (verbose && step % 100 === 0) console.log(`step ${step}, bound ${outputs.bound?.toFixed(3)} nats a letter`);
  }
  const samples = await sampleTokens({ model, diffusion, device, count: sentences, batchSize: 64, seed });
  const texts = Array.from({ length: sentences }, (_, i) => textOf(samples.subarray(i * length, (i + 1) * length)));
  if (verbose) console.log(texts.slice(0, 8).join('\n'));
  const grammatical = texts.filter(isSentence).length / sentences;
  return { ...(await judge(oneHot(data.data), oneHot(samples), length * alphabet.length)), grammatical };
}

/** Sentences such as "the cat sees a bone", filled up with spaces; tokens [count, length]. */
function anySentences(count: number, random: RandomSource): Int32Array {
  const pick = (words: readonly string[]): string => words[random.integer(words.length)] ?? '';
  return Int32Array.from(
    Array.from({ length: count }, () => tokensOf(`${pick(subjects)} ${pick(verbs)} ${pick(objects)}`)).flat(),
  );
}

function tokensOf(text: string): number[] {
  return Array.from(text.padEnd(length), (letter) => alphabet.indexOf(letter));
}

function textOf(tokens: Int32Array): string {
  return Array.from(tokens, (token) => alphabet[token]).join('');
}

function isSentence(text: string): boolean {
  return subjects.some((subject) =>
    verbs.some((verb) => objects.some((object) => text === `${subject} ${verb} ${object}`.padEnd(length))),
  );
}

function oneHot(tokens: Int32Array): Float32Array {
  const vectors = new Float32Array(tokens.length * alphabet.length);
  for (const [i, token] of tokens.entries()) vectors[i * alphabet.length + token] = 1;
  return vectors;
}

await runAsScript(import.meta.url, () => run({ verbose: true }));
