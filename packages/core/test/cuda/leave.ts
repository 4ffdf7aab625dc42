// Ends the process while a run goes on, on a device that has been closed.
import { Graph } from '../../src/graph/graph.ts';
import { fill, scale } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import { openDevice } from '../../src/native/device.ts';

const device = await openDevice('cuda', { selfCheck: false });
const graph = new Graph();
const y = scale(fill(graph, [1 << 20], 1), 2);
const program = compile(graph, { device, outputs: { y } });
void program.run();
program.dispose();
device.dispose();
process.exit(0);
