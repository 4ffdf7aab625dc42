// Stands in for peers/pytorch/main.py. Each variant has a fixed time; every request is appended to the file named by FAKE_PEER_LOG.
import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const times = { slow: 30, fast: 10, broken: undefined, spinning: 20, sleeping: 15 };
let variant = 'none';

function answer({ command, ...request }) {
  appendFileSync(
    process.env.FAKE_PEER_LOG,
    `${command}${[request.variant ?? request.precision].map((word) => (word ? ` ${word}` : '')).join('')}\n`,
  );
  if (command === 'hello') {
    const missing = process.env.FAKE_PEER_MISSING;
    return missing ? { missing } : { name: 'fake', version: '1.0' };
  }
  if (command === 'variants') return { variants: process.env.FAKE_PEER_VARIANTS.split(' ') };
  if (command === 'prepare') {
    variant = request.variant;
    return variant === 'broken' ? { error: 'RuntimeError: not today' } : {};
  }
  return command === 'run' ? { ms: times[variant] } : {};
}

if (process.argv.includes('--startup')) {
  console.log('loading');
  console.log('step');
} else if (process.argv.includes('--dies')) {
  console.error('Segmentation fault');
  process.exit(139);
} else {
  for await (const line of createInterface({ input: process.stdin }))
    console.log(JSON.stringify(answer(JSON.parse(line))));
}
