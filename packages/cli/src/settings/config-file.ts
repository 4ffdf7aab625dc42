import { readFile } from 'node:fs/promises';
import { parse, stringify, YAMLParseError } from 'yaml';
import { messageOf, usageError } from '../failure.ts';
import { checkValue, type JsonSchema, kebabCase, type Setting } from './kinds.ts';
import { presets } from './presets.ts';
import { didYouMean } from './suggest.ts';
import { type TrainSettingName, type TrainSettings, trainSettings } from './train-settings.ts';

/** What a configuration file says: any of the settings, and a preset. */
export interface TrainConfig {
  readonly preset?: string;
  readonly settings: Partial<TrainSettings>;
}

const settingNames = Object.keys(trainSettings) as TrainSettingName[];
const keys = new Map(settingNames.map((name) => [kebabCase(name), name]));

/** The JSON Schema (draft 2020-12) of a configuration file, for editors; shipped as `config.schema.json`. */
export function configJsonSchema(): JsonSchema {
  const preset = { type: 'string', enum: Object.keys(presets), description: 'settings that go well together' };
  const entries = settingNames.map((name) => {
    const { kind, description }: Setting<unknown> = trainSettings[name];
    return [kebabCase(name), { ...kind.schema, description }] as const;
  });
  return {
    title: 'Configuration of `diffuse train`',
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { preset, ...Object.fromEntries(entries) },
    additionalProperties: false,
  };
}

/**
 * Reads a configuration file.
 *
 * @throws Failure naming the file and the key, and what would be right.
 */
export async function readConfig(path: string): Promise<TrainConfig> {
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch (error) {
    throw usageError(`cannot read the configuration ${path}: ${messageOf(error)}`, { cause: error });
  }
  return parseConfig(source, path);
}

/** {@link readConfig} from text; `path` is what messages call it. */
export function parseConfig(source: string, path: string): TrainConfig {
  const content = parseYaml(source, path);
  if (content === null) return { settings: {} };
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw usageError(`${path} must be a mapping of keys to values, such as "batch-size: 64"`);
  }
  const { preset, ...rest } = content as Record<string, unknown>;
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    const name = keys.get(key);
    if (name === undefined) {
      throw usageError(`${path} has an unknown key '${key}'${didYouMean(key, ['preset', ...keys.keys()])}`);
    }
    if (value !== null) settings[name] = checkValue<unknown>(trainSettings[name].kind, value, `${key} in ${path}`);
  }
  if (preset === undefined || preset === null) return { settings };
  return { preset: checkPreset(preset, `preset in ${path}`), settings };
}

/** @throws Failure unless there is a preset of that name. */
export function checkPreset(name: unknown, where: string): string {
  if (typeof name === 'string' && Object.hasOwn(presets, name)) return name;
  const known = Object.keys(presets);
  throw usageError(
    `${where} must be one of ${known.join(', ')}; got '${String(name)}'${didYouMean(String(name), known)}`,
  );
}

/** Writes settings as a configuration file that gives them back. */
export function configText(config: TrainConfig): string {
  const entries = settingNames
    .filter((name) => config.settings[name] !== undefined)
    .map((name) => [kebabCase(name), config.settings[name]]);
  const preset = config.preset === undefined ? {} : { preset: config.preset };
  return `# Written by diffuse train; \`diffuse train --config\` and --resume read it.\n${stringify(
    { ...preset, ...Object.fromEntries(entries) },
    { flowCollectionPadding: false, collectionStyle: 'any' },
  )}`;
}

function parseYaml(source: string, path: string): unknown {
  try {
    return parse(source, { maxAliasCount: 0 });
  } catch (error) {
    const where = error instanceof YAMLParseError && error.linePos ? `:${error.linePos[0].line}` : '';
    const [line = ''] = messageOf(error).split('\n');
    throw usageError(`${path}${where} is not valid YAML: ${line.replace(/ at line .*$/, '')}`, { cause: error });
  }
}
