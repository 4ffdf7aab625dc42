import { afterAll, beforeAll } from 'vitest';
import { type Device, openDevice } from '../../src/native/device.ts';
import { testGoldenUNets } from '../models/unet2d-golden.ts';
import { describeOnGpu } from './gpus.ts';

describeOnGpu('the golden U-Nets', (name) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice(name, { selfCheck: false });
  });
  afterAll(() => device.dispose());

  // Of ten: a simulated GPU takes seconds for one step.
  testGoldenUNets(() => device, 2);
});
