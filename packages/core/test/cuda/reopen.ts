// A process whose first device is closed by an error, which its environment asks the driver for; it opens others then, and tells.
import { Graph } from '../../src/graph/graph.ts';
import { fill, scale } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import { type Device, openDevice } from '../../src/native/device.ts';

const open = (): Promise<Device> => openDevice('cuda', { selfCheck: false });

/** A program is launched kernel by kernel at first, then as a graph. */
async function compute(device: Device): Promise<string> {
  const graph = new Graph();
  using program = compile(graph, { device, outputs: { y: scale(fill(graph, [3], 1), 2) } });
  for (let i = 0; i < 3; i++) await program.run();
  return [...(await program.run()).y].join(' ');
}

async function tell(what: string, body: () => Promise<string>): Promise<void> {
  const outcome = await body().catch((error: { code: string; message: string }) => `${error.code} ${error.message}`);
  process.stdout.write(`${what}: ${outcome}\n`);
}

const device = await open();
await tell('computing', () => compute(device));
await tell('again', () => compute(device));
await tell('beside it', async () => (await open()).name);
device.dispose();
using anew = await open();
await tell('anew', () => compute(anew));
