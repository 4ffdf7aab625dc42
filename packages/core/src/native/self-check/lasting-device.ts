import type { NativeDevice } from '../bindings.ts';

/** A device that is opened when it is first asked for, and anew after an error that closed it. */
export interface LastingDevice {
  /** The device, open. @throws what opening it threw, and from then on the same without trying. */
  get(): Promise<NativeDevice>;
  dispose(): void;
}

/** Makes a {@link LastingDevice}. @param open opens it, new. */
export function lastingDevice(open: () => Promise<NativeDevice>): LastingDevice {
  let device: NativeDevice | undefined;
  let lost: { readonly error: unknown } | undefined;
  return {
    async get() {
      if (lost) throw lost.error;
      if (device && isOpen(device)) return device;
      device?.dispose();
      try {
        device = await open();
        return device;
      } catch (error) {
        lost = { error };
        throw error;
      }
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
