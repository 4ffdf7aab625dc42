import { describe, expect, test } from 'vitest';
import { curve } from '../src/terminal/curve.ts';
import { bytes, columns, duration, grouped, scaled } from '../src/terminal/format.ts';
import { startProgress } from '../src/terminal/progress.ts';

/** A stream that keeps what it was given, and a clock that is moved by hand. */
function stage(isTTY: boolean): {
  written: string[];
  progress: ReturnType<typeof startProgress>;
  at: (ms: number) => void;
} {
  const written: string[] = [];
  let time = 0;
  const stream = { isTTY, columns: 90, write: (text: string) => written.push(text) };
  const progress = startProgress(stream, 'step', 200, () => time);
  return { written, progress, at: (ms) => (time = ms) };
}

describe('progress', () => {
  test('is a bar on a terminal, redrawn ten times a second at most', () => {
    const { written, progress, at } = stage(true);
    for (let done = 1; done <= 100; done++) {
      at(done * 10);
      progress.update(done, { loss: '0.1' });
    }
    expect(written).toHaveLength(10);
    expect(written.at(-1)).toBe('\r\u001b[Kstep ███████████░░░░░░░░░░░░░  45% 91/200  loss 0.1  0:01 left');
    progress.end();
    expect(written.at(-1)).toBe('\r\u001b[K');
  });

  test('is a line every ten seconds elsewhere', () => {
    const { written, progress, at } = stage(false);
    for (let done = 1; done <= 60; done++) {
      at(done * 1000);
      progress.update(done);
    }
    expect(written).toHaveLength(6);
    expect(written[0]).toBe('step 10/200  3:10 left\n');
  });

  test('of a resumed run counts the time of its own steps only', () => {
    const { written, progress, at } = stage(false);
    at(5000);
    progress.update(101);
    at(10_000);
    progress.update(102);
    expect(written).toEqual(['step 102/200  8:10 left\n']);
  });
});

test('texts for people', () => {
  expect([0, 7000, 750_000, 11_100_000, Number.NaN].map(duration)).toEqual([
    '0:00',
    '0:07',
    '12:30',
    '3:05:00',
    '?:??',
  ]);
  expect([12, 1234, 35_746_307].map(grouped)).toEqual(['12', '1,234', '35,746,307']);
  expect([999, 1234, 7.3e10].map(scaled)).toEqual(['999', '1.23 k', '73.0 G']);
  expect([2 ** 20, 3 * 2 ** 30].map(bytes)).toEqual(['1.0 MiB', '3.00 GiB']);
  expect(
    columns([
      ['a', 1],
      ['long', 100],
    ]),
  ).toBe('a       1\nlong  100');
});

test('a curve goes from its highest to its lowest value', () => {
  expect(curve([3, 2, 1, 0], { width: 4, height: 4, labels: ['3', '0'] })).toBe('3 |*\n  | *\n  |  *\n0 |   *');
  expect(curve([1, 1], { width: 2, height: 2, labels: ['1', '1'] })).toBe('1 |**\n1 |');
});
