import { findOnnxruntime } from './onnxruntime.ts';
import type { FoundPeer, PeerOptions } from './peer.ts';
import { findPytorch } from './pytorch.ts';

/** Every library that ours can be compared with. A case takes the first of those asked for that can do it. */
export const peers: Readonly<Record<string, (options: PeerOptions) => Promise<FoundPeer>>> = {
  pytorch: (options) => findPytorch(options),
  onnxruntime: (options) => findOnnxruntime(options),
};
