import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { configJsonSchema, configText, parseConfig } from '../src/settings/config-file.ts';
import { kebabCase } from '../src/settings/kinds.ts';
import { presets } from '../src/settings/presets.ts';
import { resolveSettings, resumeSettings } from '../src/settings/resolve.ts';
import { suggest } from '../src/settings/suggest.ts';
import { trainDefaults, trainSettings } from '../src/settings/train-settings.ts';

describe('precedence', () => {
  test('a flag beats the file, the file the preset, the preset the defaults', () => {
    const file = parseConfig('preset: cifar\nlr: 0.5\nwarmup: 7\n', 'run.yaml');
    const { preset, settings } = resolveSettings({ settings: { lr: 0.25 } }, file);
    expect(preset).toBe('cifar');
    expect(settings.lr).toBe(0.25);
    expect(settings.warmup).toBe(7);
    expect(settings.modelChannels).toEqual([128, 256, 256, 256]);
    expect(settings.beta1).toBe(trainDefaults.beta1);
  });

  test('the preset of a flag takes the place of that of the file', () => {
    const file = parseConfig('preset: cifar\n', 'run.yaml');
    expect(resolveSettings({ preset: 'mnist', settings: {} }, file).preset).toBe('mnist');
  });

  test('a length replaces every length of a weaker source', () => {
    const { settings } = resolveSettings({ preset: 'mnist', settings: { minutes: 2 } });
    expect(settings).toMatchObject({ minutes: 2 });
    expect(settings.steps).toBeUndefined();
    const both = resolveSettings({ preset: 'mnist', settings: { minutes: 2, steps: 5 } }).settings;
    expect(both).toMatchObject({ minutes: 2, steps: 5 });
  });

  test('a resumed run keeps its steps when only the time is given', () => {
    const written = parseConfig('steps: 90\nminutes: 1\n', 'config.yaml');
    expect(resumeSettings({ settings: { minutes: 3 } }, written, 'config.yaml').settings).toMatchObject({
      steps: 90,
      minutes: 3,
    });
  });

  test('labels make a conditional model unless told otherwise', () => {
    expect(resolveSettings({ settings: { labels: 'l' } }).settings.classes).toBe('labels');
    expect(resolveSettings({ settings: {} }).settings.classes).toBe('none');
  });
});

describe('the configuration file', () => {
  test('what is written reads back as it was', () => {
    fc.assert(
      fc.property(
        fc.record({
          data: fc.string({ minLength: 1 }),
          seed: fc.nat(),
          lr: fc.double({ min: 1e-300, max: 999, noNaN: true }),
          flip: fc.boolean(),
          modelChannels: fc.array(fc.integer({ min: 1, max: 4096 }), { minLength: 1 }),
          scheduleOptions: fc.dictionary(
            fc.stringMatching(/^[a-zA-Z]+$/),
            fc.double({ noNaN: true, noDefaultInfinity: true }),
          ),
        }),
        (settings) => {
          // YAML has no negative zero worth keeping.
          fc.pre(!Object.values(settings.scheduleOptions).some((value) => Object.is(value, -0)));
          fc.pre(!Object.hasOwn(settings.scheduleOptions, '__proto__'));
          expect(parseConfig(configText({ settings }), 'config.yaml').settings).toEqual(settings);
        },
      ),
    );
  });

  test('every flag has a key and every preset is valid', () => {
    for (const { settings } of Object.values(presets)) {
      expect(parseConfig(configText({ settings }), 'preset').settings).toEqual(settings);
    }
    const schema = configJsonSchema() as { properties: Record<string, unknown> };
    expect(Object.keys(schema.properties)).toEqual(['preset', ...Object.keys(trainSettings).map(kebabCase)]);
  });

  test('a kind accepts what its schema accepts', () => {
    const values = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom(
        0,
        1,
        -1,
        0.5,
        3,
        1024,
        1025,
        '',
        'none',
        '48x64',
        '0x4',
        'cosine',
        [],
        [1],
        [0],
        null,
        {},
        2 ** 53,
      ),
      fc.string(),
      fc.boolean(),
      fc.array(fc.integer({ min: 0, max: 3 })),
      fc.dictionary(fc.string(), fc.oneof(fc.double(), fc.string())),
    );
    for (const [name, { kind }] of Object.entries(trainSettings)) {
      const schema = z.fromJSONSchema(kind.schema);
      fc.assert(
        fc.property(values, (value) => {
          expect(kind.accepts(value), `${name}: ${JSON.stringify(value)}`).toBe(schema.safeParse(value).success);
        }),
      );
    }
  });

  test('the shipped JSON Schema is current', async () => {
    // As the formatter writes it: short lists on one line.
    const text = JSON.stringify(configJsonSchema(), undefined, 2).replace(
      /\[\s+([^[\]{}]*?)\s+\]/g,
      (_, items: string) => {
        return `[${items.replace(/\s+/g, ' ')}]`;
      },
    );
    await expect(`${text}\n`).toMatchFileSnapshot('../config.schema.json');
  });

  test('an empty file says nothing', () => {
    expect(parseConfig('# nothing\n', 'run.yaml')).toEqual({ settings: {} });
  });
});

test.each([
  ['stpes', 'steps'],
  ['batchsize', 'batch-size'],
  ['lr-shedule', 'lr-schedule'],
  ['guidance', undefined],
  ['x', undefined],
])('%s is near %s', (given, expected) => {
  expect(
    suggest(
      given,
      Object.keys(trainSettings)
        .map(kebabCase)
        .filter((name) => name.length > 2),
    ),
  ).toBe(expected);
});
