// What a process finds of GPUs, as JSON on stdout: the devices, what `auto` opens and says, what `cuda` opens or says.
import { listDevices, openDevice } from '../../src/native/device.ts';

interface Opened {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
}

const warnings: string[] = [];
const onWarning = (message: string): void => {
  warnings.push(message);
};

async function open(...[kind]: Parameters<typeof openDevice>): Promise<Opened> {
  try {
    using device = await openDevice(kind, { onWarning, selfCheck: process.env.PROBE_SELF_CHECK === 'on' });
    return { name: device.name };
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
}

const result = { devices: listDevices(), auto: await open('auto'), warnings, cuda: await open('cuda') };
process.stdout.write(`${JSON.stringify(result)}\n`);
