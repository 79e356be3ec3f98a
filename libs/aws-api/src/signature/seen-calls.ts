import { commonError, type Service } from "../errors.ts";
import type { Caller } from "./verify.ts";

/**
 * A repeat that comes so soon is a client's own: it signs again what it repeats, and within a second signs the same.
 */
const RETRY_MS = 10_000;
/** A signature counts for 15 minutes either way of its time, so not half an hour after it was first seen. */
const COUNTS_MS = 30 * 60_000;
const REMEMBERED_PER_KEY = 10_000;

/**
 * What a later repeat would do again, over what its owner has done since. Of messages others see to that; see
 * docs/aws.md.
 */
const CHANGES: Readonly<Record<Service, ReadonlySet<string>>> = {
  sqs: new Set([
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "PurgeQueue",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
  ]),
  sns: new Set([
    "AddPermission",
    "ConfirmSubscription",
    "CreateTopic",
    "DeleteTopic",
    "PutDataProtectionPolicy",
    "RemovePermission",
    "SetSubscriptionAttributes",
    "SetTopicAttributes",
    "Subscribe",
    "TagResource",
    "Unsubscribe",
    "UntagResource",
  ]),
  sts: new Set(),
};

/**
 * The signed calls that changed a queue, a topic or a subscription, so that nobody who recorded one makes it again.
 *
 * Of one process, and of the last 10,000 of each key: what another process answered this one lets in once.
 */
export class SeenCalls {
  /** When each signature was first seen, by key; the oldest first. */
  readonly #seen = new Map<string, Map<string, number>>();

  /**
   * @param now - Milliseconds since the epoch.
   * @throws {AwsError} `SignatureDoesNotMatch`, upon which AWS' SDKs sign anew, if it was theirs
   */
  check(
    { keyId, signature }: Pick<Caller, "keyId" | "signature">,
    { service, action }: { service: Service; action: string },
    now = Date.now(),
  ): void {
    // A URL is signed to be used again until it ends.
    if (signature === undefined || !CHANGES[service].has(action)) return;
    const seen = this.#seen.get(keyId) ?? new Map<string, number>();
    this.#seen.set(keyId, seen);
    const before = seen.get(signature);
    if (before === undefined) {
      forgetOldest(seen, now);
      seen.set(signature, now);
    } else if (now - before > RETRY_MS) {
      throw commonError(
        "SignatureDoesNotMatch",
        "A request with this signature was made before. Sign it again to make it again.",
      );
    }
  }
}

function forgetOldest(seen: Map<string, number>, now: number): void {
  for (const [signature, since] of seen) {
    if (now - since <= COUNTS_MS && seen.size < REMEMBERED_PER_KEY) return;
    seen.delete(signature);
  }
}
