import { afterAll, beforeAll, describe } from 'vitest';
import { loadAddon } from '../../src/native/addon.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { testGoldenUNets } from './unet2d-golden.ts';

describe.each(loadAddon().isas.map((isa) => ({ isa })))('on $isa', ({ isa }) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { isa, threads: 2 });
  });
  afterAll(() => device.dispose());

  testGoldenUNets(() => device);
});
