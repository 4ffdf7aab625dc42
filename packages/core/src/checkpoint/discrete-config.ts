import { integer, listOf, number, oneOf } from '../config/value-rules.ts';
import { type DiscreteDiffusion, type DiscreteTransition, discreteDiffusion } from '../discrete/discrete-diffusion.ts';
import { type ConfigRules, configFromJson, configToJson, madeFrom } from './model-config.ts';

/** What makes a {@link DiscreteDiffusion} again. */
interface DiscreteConfig {
  readonly tokens: number;
  readonly transition: DiscreteTransition;
  readonly steps: number;
  /** One entry a timestep; a file says them all, so that no machine's cosine is asked for them. */
  readonly keep: readonly number[];
}

const CLASS_NAME = 'DiffuseDiscreteDiffusion';

const rules: ConfigRules<DiscreteConfig> = {
  tokens: integer(2, 2 ** 20),
  transition: oneOf('absorbing', 'uniform'),
  steps: integer(1, 1_000_000),
  keep: listOf(
    number('a number from 0 to below 1', (value) => value >= 0 && value < 1),
    1,
    1_000_000,
  ),
};

/** The content of `scheduler_config.json` for a discrete diffusion. */
export function discreteToJson({ tokens, transition, steps, keep }: DiscreteDiffusion): Record<string, unknown> {
  return configToJson(CLASS_NAME, rules, { tokens, transition, steps, keep: Array.from(keep) });
}

/** Makes a discrete diffusion of the content of `scheduler_config.json`. @throws `ERR_CHECKPOINT` naming `source` and the key. */
export function discreteFromJson(json: unknown, source: string): DiscreteDiffusion {
  return madeFrom(source, () => discreteDiffusion(configFromJson(CLASS_NAME, rules, json, source)));
}
