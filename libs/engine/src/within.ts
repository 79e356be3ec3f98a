/** Undefined when that takes longer than so many ms. */
export async function within<Result>(
  time: number,
  of: Promise<Result>,
): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, time, undefined);
  });
  try {
    return await Promise.race([of, over]);
  } finally {
    clearTimeout(timer);
  }
}
