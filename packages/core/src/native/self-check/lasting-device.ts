import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeDevice } from '../bindings.ts';

/** A device that is opened when it is first asked for, and anew after an error that closed it. */
export interface LastingDevice {
  /** The device, open. @throws what opening it threw; the second time and later again without trying. */
  get(): Promise<NativeDevice>;
  dispose(): void;
}

/** How long a device is waited for that was closed: its memory is released on a thread of its own, and its context after that. */
const patienceMs = 3000;
const pauseMs = 20;

/** Makes a {@link LastingDevice}. @param open opens it, new. */
export function lastingDevice(open: () => NativeDevice): LastingDevice {
  let device: NativeDevice | undefined;
  let lost: { readonly error: unknown } | undefined;

  async function openAnew(): Promise<NativeDevice> {
    const begin = performance.now();
    for (;;) {
      let opened: NativeDevice | undefined;
      try {
        opened = open();
        // Shares the context that failed as long as that has not been let go by all; asked for anything, it fails too.
        opened.availableBytes();
        return opened;
      } catch (error) {
        opened?.dispose();
        if (performance.now() - begin < patienceMs) await sleep(pauseMs);
        else {
          lost = { error };
          throw error;
        }
      }
    }
  }

  return {
    async get() {
      if (lost) throw lost.error;
      if (!device) device = open();
      else if (!isOpen(device)) {
        device.dispose();
        device = await openAnew();
      }
      return device;
    },
    dispose: () => device?.dispose(),
  };
}

/** After some errors a device refuses everything. */
function isOpen(device: NativeDevice): boolean {
  try {
    device.availableBytes();
    return true;
  } catch {
    return false;
  }
}
