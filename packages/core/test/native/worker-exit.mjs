// Loads the addon in a worker alone, ends the worker while its device is idle or busy, and shows that the process lives.
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

const [, , addon, when] = process.argv;
const code = `const { parentPort } = require('node:worker_threads');
  const device = require(${JSON.stringify(addon)}).openDevice({ kind: 'cpu', threads: 3, isa: '' });
  const buffer = device.allocate(64 << 20);
  buffer.read(0, 8).then(() => {
    // A read of this size keeps the device's thread busy while the worker ends.
    if (${JSON.stringify(when)} === 'busy') for (let i = 0; i < 20; i++) buffer.read(0, 64 << 20);
    parentPort.postMessage('ready');
  });`;
const worker = new Worker(code, { eval: true });
await new Promise((resolve) => worker.once('message', resolve));
await worker.terminate();
await setTimeout(300);
console.log('alive');
