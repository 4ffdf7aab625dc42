import type { RawImage } from './images.ts';

// The 5 x 7 letters of small displays. A picture must look the same on every machine, and many machines that train
// have no fonts at all. Each character from space to '~' is five columns from left to right, two hexadecimal digits
// each; the lowest bit is the topmost pixel. Ten characters a line.
const glyphs = Buffer.from(
  '000000000000005f00000007000700147f147f14242a7f2a12231308646236495522500005030000001c2241000041221c00' +
    '082a1c2a0808083e080800503000000808080808006060000020100804023e5149453e00427f400042615149462141454b31' +
    '1814127f1027454545393c4a49493001710905033649494936064949291e0036360000005636000000081422411414141414' +
    '41221408000201510906324979413e7e1111117e7f494949363e414141227f4141221c7f494949417f090909013e41415132' +
    '7f0808087f00417f41002040413f017f081422417f404040407f0204027f7f0408107f3e4141413e7f090909063e4151215e' +
    '7f09192946464949493101017f01013f4040403f1f2040201f7f2018207f63140814630304780403615149454300007f4141' +
    '020408102041417f000004020102044040404040000102040020545454787f484444383844444420384444487f3854545418' +
    '087e090102081454543c7f0804047800447d40002040443d00007f10284400417f40007c041804787c080404783844444438' +
    '7c14141408081414187c7c080404084854545420043f4440203c4040207c1c2040201c3c4030403c44281028440c5050503c' +
    '4464544c44000836410000007f000000413608000804081008',
  'hex',
);

const glyphWidth = 5;

/** Height of a line of text at scale 1, in pixels. */
export const glyphHeight = 7;

/** Width in pixels of a text that {@link drawText} draws; one column between characters. */
export function textWidth(text: string, scale: number): number {
  return Math.max(0, text.length * (glyphWidth + 1) - 1) * scale;
}

/** Draws text in black, its upper left corner at (top, left). It must fit. Characters beyond ASCII show as `?`. */
export function drawText(canvas: RawImage, text: string, top: number, left: number, scale: number): void {
  const [, width, channels] = canvas.shape;
  const colours = Math.min(3, channels);
  const square = (y: number, x: number): void => {
    for (let row = y; row < y + scale; row++) {
      for (let column = x; column < x + scale; column++) {
        const pixel = (row * width + column) * channels;
        canvas.data.fill(0, pixel, pixel + colours);
      }
    }
  };
  for (let i = 0; i < text.length; i++) {
    for (let column = 0; column < glyphWidth; column++) {
      const bits = glyphColumn(text.charCodeAt(i), column);
      for (let row = 0; row < glyphHeight; row++) {
        if (bits & (1 << row)) square(top + row * scale, left + (i * (glyphWidth + 1) + column) * scale);
      }
    }
  }
}

function glyphColumn(code: number, column: number): number {
  const known = code >= 0x20 && code <= 0x7e ? code : '?'.charCodeAt(0);
  return glyphs[(known - 0x20) * glyphWidth + column] as number;
}
