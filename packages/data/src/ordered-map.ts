/**
 * Maps items with at most `concurrency` of them in flight and yields the results in the order of the items, so that
 * what is written does not depend on which file happened to decode first. Leaving the loop early waits for what is in
 * flight: nothing goes on behind the caller's back and no rejection is left unhandled.
 */
export async function* mapOrdered<Item, Result>(
  items: Iterable<Item>,
  concurrency: number,
  map: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const inFlight: Promise<Result>[] = [];
  try {
    for (const item of items) {
      const started = map(item);
      // The rejection is seen when its turn comes; until then it must not count as unhandled.
      started.catch(() => undefined);
      inFlight.push(started);
      if (inFlight.length >= concurrency) yield await (inFlight.shift() as Promise<Result>);
    }
    while (inFlight.length > 0) yield await (inFlight.shift() as Promise<Result>);
  } finally {
    await Promise.allSettled(inFlight);
  }
}
