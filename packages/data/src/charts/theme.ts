import { DiffuseError } from '@diffuse/core';
import { type Drawing, element, escapeText } from './svg.ts';

/** Ground of a picture by day and by night. */
export const papers = { light: '#ffffff', dark: '#0d1117' } as const;

/**
 * Colours of the series, in their order. Each stands out from both {@link papers} by a contrast of 3 or more, so that a series has one
 * colour everywhere; neighbours also differ for people who do not tell red from green (after Okabe and Ito).
 */
export const palette = ['#2277c4', '#d05a1e', '#12906e', '#a35fc0', '#a37800', '#d14f78', '#7f7f7f'] as const;

/** The colour of series `index`; after the last they begin anew, with lines that are dashed. */
export function seriesColour(index: number): string {
  return palette[index % palette.length] as string;
}

const families =
  "'Source Sans 3', 'Source Sans Pro', 'Helvetica Neue', Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

const style = [
  `text { font-family: ${families}; font-variant-numeric: lining-nums; }`,
  `.paper { fill: ${papers.light}; }`,
  '.strong { fill: #1f2328; }',
  '.soft { fill: #68655f; }',
  '.grid { stroke: #e7e5e0; stroke-width: 1; fill: none; }',
  '.axis { stroke: #8d8a83; stroke-width: 1; fill: none; }',
  '.rule { stroke: #8d8a83; stroke-width: 1; stroke-dasharray: 2 3; fill: none; }',
  '@media (prefers-color-scheme: dark) {',
  `.paper { fill: ${papers.dark}; }`,
  '.strong { fill: #e8e6e1; }',
  '.soft { fill: #a09d96; }',
  '.grid { stroke: #262b33; }',
  '.axis, .rule { stroke: #7d7a74; }',
  '}',
].join('\n');

/**
 * A drawing as an SVG document on paper that follows the viewer's light or dark scheme.
 *
 * @param title for people who hear a picture instead of seeing it.
 */
export function svgDocument({ width, height, body }: Drawing, title = ''): string {
  const size = { width: Math.ceil(width), height: Math.ceil(height) };
  return `${element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      ...size,
      viewBox: `0 0 ${size.width} ${size.height}`,
      role: 'img',
      ...(title !== '' && { 'aria-label': title }),
    },
    [
      ...(title === '' ? [] : [`<title>${escapeText(title)}</title>`]),
      `<style>${escapeText(style)}</style>`,
      element('rect', { class: 'paper', ...size }),
      body,
    ].join('\n'),
  )}\n`;
}

/** Refuses a side of a picture that is no number of pixels from `least` to 8192. */
export function checkSide(name: string, value: number, least: number): void {
  if (!(value >= least && value <= 8192)) {
    throw new DiffuseError('ERR_ARGUMENT', `${name} must be a number of pixels from ${least} to 8192; got ${value}`);
  }
}
