import { readFileSync } from 'node:fs';
import { DiffuseError, resolveUNet2DConfig, UNet2D, type UNet2DOptions } from '@diffuse/core';

/** A network that is timed. */
export interface BenchConfig {
  /** `S`, `M` or `L`. */
  readonly name: string;
  /** Images a training step. */
  readonly batch: number;
  /** Arguments of diffusers' `UNet2DModel`, as a peer takes them. */
  readonly diffusers: Readonly<Record<string, unknown>>;
}

/** The networks of `configs.json`, from small to large. */
export function benchConfigs(): readonly BenchConfig[] {
  const file = readFileSync(new URL('../configs.json', import.meta.url), 'utf8');
  const entries = Object.entries(JSON.parse(file) as Record<string, Record<string, unknown>>);
  return entries.map(([name, { batch, ...diffusers }]) => ({ name, batch: batch as number, diffusers }));
}

/** The networks of these names. @throws `ERR_ARGUMENT` for a name that there is not. */
export function selectConfigs(names: readonly string[]): readonly BenchConfig[] {
  const all = benchConfigs();
  return names.map((name) => {
    const config = all.find((candidate) => candidate.name === name);
    if (config) return config;
    const known = all.map((candidate) => candidate.name).join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `--configs: there is no configuration '${name}'; there are ${known}`);
  });
}

/** The same network in our library. Keys that are missing take the defaults of diffusers' class, as they do there. */
export function benchModel({ diffusers }: BenchConfig): UNet2D {
  const camelCase = (key: string): string => key.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const options = Object.fromEntries(Object.entries(diffusers).map(([key, value]) => [camelCase(key), value]));
  return UNet2D.fromConfig(resolveUNet2DConfig(options as UNet2DOptions));
}
