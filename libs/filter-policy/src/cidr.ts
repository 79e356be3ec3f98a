import { isIPv4, isIPv6 } from "node:net";

import { FilterPolicyError } from "./filter-policy-error.ts";

interface Address {
  bits: 32 | 128;
  value: bigint;
}

/**
 * Compiles a block of addresses, IPv4 or IPv6: `10.0.0.0/24`, `2001:db8::/32`. An address of the other kind is never in
 * it.
 * @throws {FilterPolicyError}
 */
export function compileCidr(
  block: string,
  path: readonly (string | number)[],
): (text: string) => boolean {
  const [text = "", mask = "", ...more] = block.split("/");
  const address = addressOf(text);
  if (!address || more.length > 0 || !/^\d{1,3}$/.test(mask) || Number(mask) > address.bits) {
    throw new FilterPolicyError(
      path,
      `"${block.slice(0, 64)}" is no block of addresses; write it like 10.0.0.0/24 or 2001:db8::/32`,
    );
  }
  const ignored = BigInt(address.bits - Number(mask));
  const lowest = (address.value >> ignored) << ignored;
  const highest = lowest + (1n << ignored) - 1n;
  return (candidate) => {
    const other = lastAddressOf(candidate);
    return other?.bits === address.bits && lowest <= other.value && other.value <= highest;
  };
}

/** A value is compared with the blocks of a key one after the other, and to read it takes longer than to compare it. */
function lastAddressOf(text: string): Address | undefined {
  if (text !== last.text) last = { text, address: addressOf(text) };
  return last.address;
}

let last: { text: string; address: Address | undefined } = { text: "", address: undefined };

/** Longest text of an IPv6 address with an IPv4 one at its end. */
const MAX_LENGTH = 45;

function addressOf(text: string): Address | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  if (isIPv4(text)) return { bits: 32, value: quadOf(text) };
  // A zone is a name of one machine's network card.
  if (isIPv6(text) && !text.includes("%")) return { bits: 128, value: groupsOf(text) };
  return undefined;
}

function quadOf(text: string): bigint {
  return text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function groupsOf(text: string): bigint {
  const [left = "", right] = text.split("::");
  const [before, after] = [wordsOf(left), right === undefined ? [] : wordsOf(right)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((value, word) => (value << 16n) | word, 0n);
}

function wordsOf(text: string): bigint[] {
  if (text === "") return [];
  return text.split(":").flatMap((word) => {
    if (!word.includes(".")) return [BigInt(`0x${word}`)];
    const quad = quadOf(word);
    return [quad >> 16n, quad & 0xffffn];
  });
}
