import { performance } from 'node:perf_hooks';
import { duration } from './format.ts';
import type { TextSink } from './report.ts';

/** What stands beside the bar, by name: `{ loss: '0.031' }`. */
export type ProgressFields = Readonly<Record<string, string>>;

/** A task under way. */
export interface Progress {
  /** Says how far the task is. Cheap: the display changes ten times a second at most. */
  update(done: number, fields?: ProgressFields): void;
  /** Clears the bar for a line of text; the next update draws it again. */
  hide(): void;
  /** Removes the bar. */
  end(): void;
}

const redrawMs = 100;
const lineMs = 10_000;
const barWidth = 24;

/** A bar that is redrawn on a terminal; elsewhere one line about every ten seconds. */
export function startProgress(
  stream: TextSink,
  task: string,
  total: number,
  now: () => number = () => performance.now(),
): Progress {
  const begin = now();
  const isTerminal = stream.isTTY === true;
  let first: number | undefined;
  let shownAt = isTerminal ? -Infinity : begin;
  let visible = false;
  const hide = (): void => {
    if (visible) stream.write('\r\u001b[K');
    visible = false;
  };
  return {
    update(done, fields = {}) {
      // A resumed run begins in the middle: time left follows from the steps done since.
      first ??= done - 1;
      const at = now();
      if (at - shownAt < (isTerminal ? redrawMs : lineMs) && !(isTerminal && done === total)) return;
      shownAt = at;
      const left = done > first ? ((at - begin) / (done - first)) * (total - done) : Number.NaN;
      const parts = [...Object.entries(fields).map(([name, value]) => `${name} ${value}`), `${duration(left)} left`];
      if (isTerminal) {
        const room = Math.max(20, (stream.columns ?? 80) - 1);
        const text = `${task} ${bar(done / total)} ${done}/${total}  ${parts.join('  ')}`;
        stream.write(`\r\u001b[K${text.slice(0, room)}`);
        visible = true;
      } else {
        stream.write(`${task} ${done}/${total}  ${parts.join('  ')}\n`);
      }
    },
    hide,
    end: hide,
  };
}

/** `████████░░░░  63%` */
function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * barWidth);
  return `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${String(Math.floor(share * 100)).padStart(3)}%`;
}
