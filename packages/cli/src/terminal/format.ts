/** A time for people: `0:07`, `12:30`, `3:05:00`. */
export function duration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return '?:??';
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** A number with commas: `35,746,307`. */
export function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A large number with a unit: `12.3 G`. */
export function scaled(value: number): string {
  const units = ['', ' k', ' M', ' G', ' T', ' P'];
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${unit === 0 ? rest : rest.toPrecision(3)}${units[unit]}`;
}

/** Bytes for people, in MiB or GiB. */
export function bytes(value: number): string {
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(2)} GiB` : `${(value / 2 ** 20).toFixed(1)} MiB`;
}

/** Rows of text in columns; numbers stand to the right. */
export function columns(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, String(cell).length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => {
          const width = widths[i] ?? 0;
          return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A device and what it computes with: `cpu avx512, 8 threads`, `cuda:0 …, 108 multiprocessors`. */
export function deviceText({ name, threads }: { readonly name: string; readonly threads: number }): string {
  return `${name}, ${threads} ${name.startsWith('cuda') ? 'multiprocessors' : 'threads'}`;
}

/** In what a device computes: `fp32`, `fp32 multiplied as tf32`. */
export function formatText({ precision, tf32 }: { readonly precision: string; readonly tf32: boolean }): string {
  return tf32 ? `${precision} multiplied as tf32` : precision;
}
