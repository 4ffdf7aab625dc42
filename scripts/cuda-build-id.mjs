// `node scripts/cuda-build-id.mjs FILE`: writes the C++ file that tells the addon the build id of its CUDA images (CMakeLists.txt).
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { cudaBuildId } from './lib/cuda-build-id.mjs';

const file = process.argv[2];
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `namespace diffuse::cuda {\nextern const char* const kBuildId = "${cudaBuildId()}";\n}\n`);
