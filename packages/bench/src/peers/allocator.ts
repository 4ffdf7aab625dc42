import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where distributions put shared libraries. */
const folders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/local/lib'];
const names = ['libtcmalloc_minimal.so.4', 'libtcmalloc.so.4'];

/** Google's allocator, which is faster than the C library's for PyTorch's large blocks; undefined where it is not installed. */
export function findTcmalloc(exists: (path: string) => boolean = existsSync): string | undefined {
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(exists);
}
