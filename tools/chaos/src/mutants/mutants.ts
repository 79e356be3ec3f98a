/** A way to break the product: texts of one of its files that are others instead. */
export interface Mutant {
  name: string;
  /** What is wrong with it. */
  what: string;
  /** Below libs/, without the ending; what runs is what is built of it. */
  file: string;
  /** Each text stands there, once or more often, and is replaced everywhere. */
  edits: readonly (readonly [from: string, to: string])[];
  /** The faults under which that shows; `none` where the clients alone bring it to light. */
  nemeses: string;
}

/**
 * Mistakes that somebody could make, each of which breaks a promise. A harness that does not find them finds nothing.
 */
export const mutants: readonly Mutant[] = [
  {
    name: "answers-before-commit",
    what: "a publish is answered while it is being committed",
    file: "engine/write/batch-writer",
    edits: [
      [
        "const { stored, announce } = await this.#options.insert(batches, keysOf(calls), lockTimeout);",
        "this.#options.insert(batches, keysOf(calls), lockTimeout).then((late) => late.announce(), () => undefined); const stored = batches.map(({ id }) => id), announce = () => undefined;",
      ],
    ],
    nemeses: "terminate-backends,kill-backend,kill-api",
  },
  {
    name: "commits-asynchronously",
    what: "commits are answered before Postgres has written its log",
    file: "database/connect",
    edits: [['lazy ? "off" : "on"', '"off"']],
    nemeses: "kill-postgres",
  },
  {
    name: "acknowledges-before-commit",
    what: "an acknowledgement is answered while it is being committed",
    file: "engine/acknowledge/acknowledge",
    edits: [
      [
        "const done = await (fifo ? this.#fifo.add(marks) : this.#rounds.acknowledge(marks));",
        "void (fifo ? this.#fifo.add(marks) : this.#rounds.acknowledge(marks)).catch(() => undefined); const done = marks.map(({ mask }) => mask);",
      ],
    ],
    nemeses: "terminate-backends,kill-backend,kill-api",
  },
  {
    name: "keeps-outbox-row",
    what: "a fan-out does not note that it is done",
    file: "engine/fan-out/take-batches",
    edits: [
      [
        "DELETE FROM outbox o USING evaluated e",
        // Found again some seconds later; at once would be as fast as consumers can take it.
        "UPDATE outbox o SET sent_at = clock_timestamp() + interval '2 seconds' FROM evaluated e",
      ],
    ],
    nemeses: "none",
  },
  {
    name: "never-sweeps",
    what: "nobody looks for batches whose announcement was lost",
    file: "engine/fan-out/dispatcher",
    edits: [["const forgotten = await this.#findForgotten();", "const forgotten = [];"]],
    nemeses: "wipe-nats,kill-all-dispatchers",
  },
  {
    name: "ignores-secrets",
    what: "an access key gets in whatever its secret",
    file: "http-api/authentication/authentication",
    edits: [["isSecret(secret, key?.secret) ? key : undefined", "key"]],
    nemeses: "none",
  },
  {
    name: "remembers-keys",
    what: "an access key gets in while a process knows it, disabled or not",
    file: "engine/access-keys/access-keys",
    edits: [
      ["const TIME_TO_LIVE = 3_000;", "const TIME_TO_LIVE = 3_000_000;"],
      ["const RENEWED_AFTER = 1_500;", "const RENEWED_AFTER = 1_500_000;"],
    ],
    nemeses: "none",
  },
  {
    name: "ignores-filters",
    what: "messages go to subscriptions whose filter policy refuses them",
    file: "engine/fan-out/deliver",
    edits: [
      ["ELSE t.mask & t.masks[array_position(t.filters, s.filter_id)] END", "ELSE t.mask END"],
    ],
    nemeses: "none",
  },
  {
    name: "shares-filter-results",
    what: "each filter of a batch gets what the first one accepts",
    file: "engine/fan-out/deliver",
    edits: [["t.masks[array_position(t.filters, s.filter_id)]", "t.masks[1]"]],
    nemeses: "none",
  },
  {
    name: "keeps-first-policies",
    what: "a dispatcher keeps the first policy that a topic had in each place",
    file: "engine/fan-out/evaluate-batches",
    edits: [
      [
        "for (const { batchId, filterIds } of batches) {",
        "for (const { batchId, filterIds, topicId } of batches) {",
      ],
      [
        "const filter = compiled.get(id);",
        "const place = `${topicId}/${filterIds.indexOf(id)}`; const filter = ((globalThis.firstPolicies ??= {})[place] ??= compiled.get(id));",
      ],
    ],
    nemeses: "none",
  },
  {
    name: "leases-by-application-clock",
    what: "what is visible, and how long it is held, is decided by the clock of the API",
    file: "engine/receive/visible-slices",
    edits: [["clock_timestamp()", "to_timestamp(${Date.now() / 1_000}::float8)"]],
    nemeses: "jump-clock,jump-all-clocks",
  },
  {
    name: "hides-by-application-clock",
    what: "until when a received message is held is decided by the clock of the API",
    file: "engine/receive/visible-slices",
    edits: [
      [
        "date_trunc('milliseconds', clock_timestamp())",
        "date_trunc('milliseconds', to_timestamp(${Date.now() / 1_000}::float8))",
      ],
    ],
    nemeses: "jump-clock",
  },
  {
    name: "does-not-check-leases",
    what: "an old receipt handle acknowledges what somebody else has received since",
    file: "engine/receipt-handle/apply-marks",
    edits: [
      ["AND s.lease = m.lease ", ""],
      [
        "NOT s.moved AND s.visible_at = timestamptz 'epoch' + m.visible_at * interval '1 millisecond'",
        "NOT s.moved",
      ],
    ],
    nemeses: "none",
  },
  {
    name: "acknowledges-neighbours",
    what: "acknowledging one message removes all that were stored and received with it",
    file: "engine/acknowledge/delete-acknowledged",
    edits: [
      [
        "WHERE f.rest = 0 AND s.ctid = f.row AND s.lease = f.lease AND s.pending = f.done",
        "WHERE s.ctid = f.row",
      ],
      ["WHERE f.rest <> 0 AND", "WHERE false AND"],
    ],
    nemeses: "none",
  },
  {
    name: "counts-no-receives",
    what: "receiving a message again does not raise its count",
    file: "engine/receive/claim",
    edits: [["receive_count = receive_count + 1", "receive_count = greatest(receive_count, 1)"]],
    nemeses: "none",
  },
  {
    name: "spares-dead-letters",
    what: "a message is received once more than its queue allows",
    file: "engine/receive/visible-slices",
    edits: [["s.receive_count >= q.max_receive_count", "s.receive_count > q.max_receive_count"]],
    nemeses: "none",
  },
  {
    name: "forgets-keys",
    what: "a repeat with the same idempotency key is stored again",
    file: "engine/write/batch-writer",
    edits: [
      [
        "await this.#options.insert(batches, keysOf(calls), lockTimeout)",
        "await this.#options.insert(batches, [], lockTimeout)",
      ],
    ],
    nemeses: "none",
  },
  {
    name: "forgets-deduplication-ids",
    what: "a FIFO queue stores what it was sent within the last five minutes again",
    file: "engine/send/insert-fifo",
    edits: [["AND d.accepted_at > m.sent_at", "AND d.accepted_at > m.sent_at + interval '1 hour'"]],
    nemeses: "none",
  },
  {
    name: "does-not-hold-groups",
    what: "messages of a FIFO group are handed out while an earlier one is in flight",
    file: "engine/receive/take-from-groups",
    edits: [
      ["SET available_at = q.deadline", "SET available_at = q.now"],
      [
        "bool_and(f.visible_at <= q.now AND f.sent_at > q.expired AND f.receive_count < q.max_receive_count) OVER inorder AS takeable",
        "f.visible_at <= q.now AS takeable",
      ],
    ],
    nemeses: "none",
  },
  {
    name: "serves-paused-queues",
    what: "a paused queue hands out messages",
    file: "engine/receive/visible-slices",
    edits: [["WHERE NOT q.paused", "WHERE true"]],
    nemeses: "none",
  },
];
