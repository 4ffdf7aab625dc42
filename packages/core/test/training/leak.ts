// Trains a tiny model for 2,000 steps after a warm-up and prints the resident memory along the way, as a JSON list of bytes.
import { readFileSync } from 'node:fs';
import { openDevice } from '../../src/native/device.ts';
import { tinyTraining } from './tiny.ts';

// Beside other processes V8 still compiles and collects code in the first thousand steps: some 0.7 % of so small a process.
const warmup = 1500;
const device = await openDevice('cpu');
const samples: number[] = [];
for await (const { step } of await tinyTraining(device, { steps: warmup + 2000 })) {
  if (step < warmup || step % 100 !== 0) continue;
  globalThis.gc?.();
  samples.push(Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024);
}
console.log(JSON.stringify(samples));
