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
  return onesOf(Number(mask & 0xffff_ffffn)) + onesOf(Number(mask >> 32n));
}

/** Of 32 bits, added up in pairs, in fours, in bytes. */
function onesOf(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The lowest so many of the bits that are set. */
export function lowestBits(mask: bigint, count: number): bigint {
  return bitsOf(mask)
    .slice(0, count)
    .reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
}
