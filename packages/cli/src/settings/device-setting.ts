import type { DeviceName } from '@diffuse/core';
import { flag, type Kind, type Setting } from './kinds.ts';

/** What `--device` takes. */
export type DeviceChoice = 'auto' | DeviceName;

const pattern = /^(?:auto|cpu|cuda(?::(?:0|[1-9][0-9]{0,2}))?)$/;

const deviceKind: Kind<DeviceChoice> = {
  expected: 'auto, cpu, cuda (the first GPU) or cuda:N (any other, counted from 0)',
  accepts: (value): value is DeviceChoice => typeof value === 'string' && pattern.test(value),
  schema: { type: 'string', pattern: pattern.source },
  fromText: (given) => given,
  choices: ['auto', 'cpu', 'cuda', 'cuda:N'],
};

/** `--device`, the same for every command that computes. @param group heading in `--help`. */
export function deviceSetting(group: string): Setting<DeviceChoice> {
  return { kind: deviceKind, description: 'where to compute; auto is the first GPU that can be used', group };
}

/** `--tf32`, wherever `--device` is. @param group heading in `--help`. */
export function tf32Setting(group: string): Setting<boolean> {
  const description =
    'multiply float32 on the tensor cores of a GPU, which keep 10 of its 23 bits of mantissa; CUDA devices only';
  return { kind: flag(), description, group };
}
