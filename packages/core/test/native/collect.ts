// Makes buffers and programs that nobody disposes, collects, and prints how much the process has grown.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Graph } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import { openDevice } from '../../src/native/device.ts';

function residentBytes(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

const device = await openDevice('cpu');
async function litter(rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const buffer = device.allocate(16 << 20);
    await buffer.write(0, new Float32Array(4 << 20).fill(1));
    const graph = new Graph();
    await compile(graph, { device, outputs: { y: fill(graph, [1 << 20], i) } }).run();
    globalThis.gc?.();
    await setTimeout(1);
  }
}
await litter(5);
const before = residentBytes();
await litter(40);
globalThis.gc?.();
await setTimeout(20);
console.log(JSON.stringify({ grown: residentBytes() - before }));
