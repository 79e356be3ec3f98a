/** The positions of the bits that are set, lowest first. */
export function bitsOf(mask: bigint): number[] {
  const bits: number[] = [];
  let low = Number(mask & 0xffff_ffffn);
  let high = Number(mask >> 32n);
  for (; low !== 0; low = (low & (low - 1)) >>> 0) bits.push(31 - Math.clz32(low & -low));
  for (; high !== 0; high = (high & (high - 1)) >>> 0) bits.push(63 - Math.clz32(high & -high));
  return bits;
}

/** How many bits are set. */
export function bitCount(mask: bigint): number {
  return bitsOf(mask).length;
}

/** The lowest so many of the bits that are set. */
export function lowestBits(mask: bigint, count: number): bigint {
  return bitsOf(mask)
    .slice(0, count)
    .reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
}
