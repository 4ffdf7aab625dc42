/**
 * The known name that was probably meant, or undefined when none is near: two letters may differ, one in a short name, a third of a
 * long one.
 *
 * @param given what was typed.
 */
export function suggest(given: string, known: readonly string[]): string | undefined {
  const [nearest] = known
    .map((name) => ({ name, distance: editDistance(given, name) }))
    .sort((a, b) => a.distance - b.distance);
  const near = given.length <= 3 ? 1 : Math.max(2, Math.floor(given.length / 3));
  return nearest && nearest.distance <= near ? nearest.name : undefined;
}

/** `; did you mean X?`, or nothing. */
export function didYouMean(given: string, known: readonly string[], prefix = ''): string {
  const name = suggest(given, known);
  return name === undefined ? '' : `; did you mean ${prefix}${name}?`;
}

/** Letters to insert, delete or replace to get from one word to another (Levenshtein). */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
