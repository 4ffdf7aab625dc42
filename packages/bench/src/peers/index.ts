import type { FoundPeer } from './peer.ts';
import { findPytorch, type PeerOptions } from './pytorch.ts';

/** Every library that ours can be compared with. */
export const peers: Readonly<Record<string, (options: PeerOptions) => Promise<FoundPeer>>> = { pytorch: findPytorch };
