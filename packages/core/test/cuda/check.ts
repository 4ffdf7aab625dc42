// The self-check of the first GPU in a process of its own, as JSON on stdout.
import { checkGpu } from '../../src/native/open-native.ts';

process.stdout.write(`${JSON.stringify(await checkGpu('cuda'))}\n`);
