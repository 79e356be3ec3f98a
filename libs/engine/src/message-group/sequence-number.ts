/**
 * The number of the message at a bit: 64 of them belong to each sequence, so they rise with (sequence, bit). 20 digits.
 */
export function sequenceNumberOf(sequence: string, bit: number): string {
  return String(BigInt(sequence) * 64n + BigInt(bit)).padStart(20, "0");
}
