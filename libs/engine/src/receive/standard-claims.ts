import { setTimeout as sleep } from "node:timers/promises";

import { failpoint } from "@sluice/runtime";

import { moveExhausted } from "../dead-letter/move-exhausted.ts";
import { overLimit } from "../errors.ts";
import { claimQuiet, type ClaimRequest, type QuietRequest } from "./claim.ts";
import { HELD_LETTERS } from "./claim-rows.ts";
import type { Claim } from "./claimed-slice.ts";
import { countInFlight } from "./count-in-flight.ts";
import { messagesIn } from "./hand-out.ts";
import { InFlight, MAX_IN_FLIGHT } from "./in-flight.ts";
import { exhaustedQuietSlices } from "./quiet-slices.ts";
import type { ClaimCall, QueueClaims, QueueClaimsOptions } from "./queue-claims.ts";

const MAX_SLICES = 1_000;
/**
 * After a look at dead letters only, the next one is at so many times more slices: a receive of one message passes
 * 1,000 of them in six looks, and not 500. Not at as many as it may be at once: other claims skip them all, also
 * those that it does not need.
 */
const MORE_LETTERS = 4;
/** Looks of one claim that may meet dead letters. To move 1,000 of them takes 9 ms. */
const MAX_CLEARINGS = 20;
/** How long messages wait while dead letters that were met with them are moved, in ms: most moves take a few. */
const MEANWHILE = 100;
/** How long quiet tenants are taken to have nothing after a look at all of them found nothing, in ms. */
const ALL_QUIET = 20;

/** Claims of a standard queue: slice by slice, in as many statements as it takes to find half of what is wanted. */
export class StandardClaims implements QueueClaims {
  readonly #options: QueueClaimsOptions;
  readonly #inFlight: InFlight;
  /** Messages a slice held lately: how many to look at for a given number of messages. */
  #density = 1;
  /** The group after which to go on looking for quiet tenants, and from when on that is worth it. */
  #quiet = { after: "", from: 0 };
  /** Dead letters on their way, when what was claimed with them need not wait for that. */
  #moving: Promise<boolean> | undefined;

  constructor(options: QueueClaimsOptions) {
    this.#options = options;
    this.#inFlight = new InFlight(() => countInFlight(options.sql, options));
  }

  acknowledged(messages: number): void {
    this.#inFlight.acknowledged(messages);
  }

  async ended(): Promise<void> {
    await this.#moving;
  }

  async claim({ group, wanted, begins, isWaitedFor }: ClaimCall): Promise<Claim> {
    const { rounds, queueId, account, name, floor } = this.#options;
    const visibilityTimeout = group[0]?.visibilityTimeout;
    const room = Math.min(wanted, await this.#inFlight.room());
    if (room === 0) throw overLimit(name, MAX_IN_FLIGHT);
    const quiet = await this.#claimQuiet(room, visibilityTimeout);
    const claimed = quiet.slices;
    let { hidesNothing, dueIn, tookAll } = quiet;
    let got = messagesIn(claimed);
    let least = 0;
    let handOutAt = got > 0 ? performance.now() + MEANWHILE : Infinity;
    // Where slices are sparser than expected, the next statement looks at more of them. It would claim once more what
    // is visible again.
    for (let round = 1; !hidesNothing && (got === 0 || got * 2 < room); round += 1) {
      const max = room - got;
      const slices = Math.max(least, this.#slicesFor(max));
      const from = floor.start;
      const request = { queueId, account, max, slices, visibilityTimeout, from };
      const found = await rounds.claim(request, begins).catch((error: unknown) => {
        // What the statements before it claimed is handed out all the same.
        if (got === 0) throw error;
        return NOTHING;
      });
      this.#note(found);
      if (got === 0) dueIn = found.dueIn;
      ({ hidesNothing, tookAll } = found);
      claimed.push(...found.slices);
      got += messagesIn(found.slices);
      if (found.scan) floor.advance(found.scan, found.slices.length, from);
      if (found.onlyDeadLetters) least = Math.min(MAX_SLICES, slices * MORE_LETTERS);
      if (found.hasDeadLetters) {
        if (got > 0) handOutAt = Math.min(handOutAt, performance.now() + MEANWHILE);
        const moved = await this.#moveUntil(handOutAt, request);
        // They took the places of slices that are still to be looked at: by the next claim, where that takes too long
        // or nobody is there for them.
        const goesOn = round < MAX_CLEARINGS && isWaitedFor() && performance.now() < handOutAt;
        if (moved === true && goesOn) continue;
        if (moved !== false) {
          dueIn = moved ? 0 : HELD_LETTERS;
          break;
        }
      }
      // So do those that have to stay where they are.
      if (found.onlyDeadLetters && slices < least) continue;
      if (found.slices.length < slices - 1) break;
    }
    return { slices: claimed, dueIn, tookAll };
  }

  /**
   * While a tenant is noisy, all others go first. What this leaves of the room is filled in the order of the queue, so
   * a noisy tenant is not held back where nobody else waits.
   */
  async #claimQuiet(max: number, visibilityTimeout: number | undefined): Promise<Claim> {
    const { noisy } = this.#inFlight;
    if (noisy.length === 0 || performance.now() < this.#quiet.from)
      return { ...NOTHING, slices: [] };
    const { sql, queueId, account, floor } = this.#options;
    const { after } = this.#quiet;
    const slices = this.#slicesFor(max);
    const request = { queueId, account, max, slices, visibilityTimeout, from: floor.start };
    const quiet: QuietRequest = { noisy, after };
    const found = await claimQuiet(sql, request, quiet);
    this.#note(found);
    const isEmpty = found.slices.length === 0;
    const handOutAt = isEmpty ? Infinity : performance.now() + MEANWHILE;
    const moved = found.hasDeadLetters && (await this.#moveUntil(handOutAt, request, quiet));
    const sawAll = after === "" && found.nextAfter === "";
    const nothing = isEmpty && !moved;
    this.#quiet = {
      after: found.nextAfter ?? "",
      from: sawAll && nothing ? performance.now() + ALL_QUIET : 0,
    };
    return found;
  }

  #slicesFor(messages: number): number {
    return Math.min(MAX_SLICES, Math.ceil(messages / this.#density) + 1);
  }

  /** Moves the dead letters that a claim has met; false where none of them could be. */
  async #moveExhausted(request: ClaimRequest, quiet?: QuietRequest): Promise<boolean> {
    failpoint("claim.met-dead-letters");
    const { sql } = this.#options;
    const letters = quiet && exhaustedQuietSlices(sql, request, quiet);
    const moved = await moveExhausted(sql, request, letters);
    if (moved) this.#options.deadLettered(moved);
    return moved !== undefined;
  }

  /**
   * The same, but not beyond the time at which what was claimed is handed out, since its visibility timeout runs, and
   * however that ends; undefined where it goes on meanwhile. The next claim meets the letters that stay.
   */
  async #moveUntil(
    handOutAt: number,
    request: ClaimRequest,
    quiet?: QuietRequest,
  ): Promise<boolean | undefined> {
    if (handOutAt === Infinity) return await this.#moveExhausted(request, quiet);
    if (this.#moving !== undefined) return undefined;
    this.#moving = this.#moveExhausted(request, quiet)
      .catch((error: unknown) => {
        this.#options.failed("dead letters", error);
        return false;
      })
      .finally(() => {
        this.#moving = undefined;
      });
    const enough = new AbortController();
    const ms = Math.max(0, handOutAt - performance.now());
    const soon = sleep(ms, undefined, { signal: enough.signal }).catch(() => undefined);
    const moved = await Promise.race([this.#moving, soon]);
    enough.abort();
    return moved;
  }

  #note({ slices }: Claim): void {
    const messages = messagesIn(slices);
    if (messages === 0) return;
    this.#density = messages / slices.length;
    const hasTenants = slices.some(({ groupId = "" }) => groupId !== "");
    this.#inFlight.claimed(messages, hasTenants);
  }
}

const NOTHING: Claim = { slices: [], dueIn: undefined };
