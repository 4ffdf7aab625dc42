/** How far a point of an image lies inside a shape, in pixels; below 0 outside. */
export type Shape = (x: number, y: number) => number;

/** A disc around (x, y). */
export function disc(x: number, y: number, radius: number): Shape {
  return (px, py) => radius - Math.hypot(px - x, py - y);
}

/** A circle around (x, y), of lines `width` wide. */
export function ring(x: number, y: number, radius: number, width: number): Shape {
  return (px, py) => width / 2 - Math.abs(Math.hypot(px - x, py - y) - radius);
}

/** An upright cross around (x, y), of bars `2 * radius` long and `width` wide. */
export function cross(x: number, y: number, radius: number, width: number): Shape {
  return (px, py) => {
    const [dx, dy] = [Math.abs(px - x), Math.abs(py - y)];
    return Math.min(width / 2 - Math.min(dx, dy), radius - Math.max(dx, dy));
  };
}

/** A square image, `side * side` values: 1 inside the shape, -1 outside, a soft edge of one pixel between. */
export function draw(shape: Shape, side: number): Float32Array {
  return Float32Array.from({ length: side * side }, (_, i) =>
    Math.max(-1, Math.min(1, 2 * shape((i % side) + 0.5, Math.floor(i / side) + 0.5))),
  );
}

/** What is bright in an image. */
export interface Brightness {
  /** Centre of brightness, in pixels. */
  readonly x: number;
  readonly y: number;
  /** White pixels that are as bright together. */
  readonly mass: number;
}

/** Where the light is in each of some square images, `side * side` values in [-1, 1] each. */
export function brightness(images: Float32Array, side: number): Brightness[] {
  const size = side * side;
  return Array.from({ length: images.length / size }, (_, image) => {
    let [mass, x, y] = [1e-6, 0, 0];
    for (let i = 0; i < size; i++) {
      const light = Math.max(0, ((images[image * size + i] ?? 0) + 1) / 2);
      mass += light;
      x += light * ((i % side) + 0.5);
      y += light * (Math.floor(i / side) + 0.5);
    }
    return { x: x / mass, y: y / mass, mass };
  });
}
