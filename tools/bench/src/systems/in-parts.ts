/** Does the work for every item, a few at a time: 1,000 queues are not made one by one, nor all at once. */
export async function inParts<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  const left = items.values();
  const loop = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: 16 }, loop));
}
