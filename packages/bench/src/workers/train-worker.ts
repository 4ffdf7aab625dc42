// Trains a network in a process of its own, a step for each line on stdin: { config, device } prepares, anything else is a step.
// Answers with one line of JSON each, as the peers do.
import { createInterface } from 'node:readline';
import { selectConfigs } from '../configs.ts';
import type { BenchDevice } from '../ours/bench-device.ts';
import { type TrainSession, trainSession } from '../ours/train-session.ts';

let session: TrainSession | undefined;

async function answer(request: { config?: string; device?: BenchDevice }): Promise<object> {
  try {
    if (session) return { ms: await session.run() };
    const [config] = selectConfigs([request.config ?? '']);
    if (config) session = await trainSession(config, request.device ?? {});
    return {};
  } catch (error) {
    return { error: (error as Error).message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as object))}\n`);
}
await session?.dispose();
