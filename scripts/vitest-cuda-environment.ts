import { inject } from 'vitest';
import './vitest-cuda-setup.ts';

// The addon reads these when a device is opened.
const { environment = {}, missing } = inject('cuda');
Object.assign(process.env, environment);
if (missing !== undefined) process.env.DIFFUSE_TEST_WITHOUT_CUDA = missing;
