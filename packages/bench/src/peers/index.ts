import type { FoundPeer, PeerOptions } from './peer.ts';
import { findPytorch } from './pytorch.ts';

/** Every library that ours can be compared with. */
export const peers: Readonly<Record<string, (options: PeerOptions) => Promise<FoundPeer>>> = {
  pytorch: (options) => findPytorch(options),
};
