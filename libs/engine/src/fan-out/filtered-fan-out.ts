import { within } from "../within.ts";
import { MAX_PAYLOADS, takeFiltered, takeUnfiltered, type FanOutContext } from "./fan-out.ts";
import type { WaitingBatch } from "./take-batches.ts";

/**
 * Batches that wait for a topic whose filters take long; of more than that, the sweeper meets the oldest ones again.
 */
const MAX_WAITING = 1_000;
/** Batches of lanes that one look for others is told of. */
const MAX_TOLD = 2_000;

/** The batches of one topic whose filters take long, which go by themselves. */
interface Lane {
  /** By performance.now(). */
  startedAt: number;
  /** By performance.now(); see {@link FilteredFanOut.known}. */
  toldAt: number;
  /** With those that are at it. */
  waiting: Set<string>;
  /** It takes no more before it has ended: what was left to the sweeper is older than what would come. */
  isFull: boolean;
  /** Resolves to how many batches were fanned out; never rejects. */
  ended: Promise<number>;
}

/**
 * Fans out batches of topics with filters. Whatever is evaluated soon goes together, one statement for many topics;
 * where that takes long, each topic goes on by itself, so that one whose filters take seconds holds up no other.
 */
export class FilteredFanOut {
  readonly #context: FanOutContext;
  #lanes = new Map<string, Lane>();

  constructor(context: FanOutContext) {
    this.#context = context;
  }

  /** Topics that have been at it for so long, in ms: what others look for is held up by no batches of theirs. */
  busyFor(time: number): string[] {
    return this.#busyLanes(time).map(([topicId]) => topicId);
  }

  /**
   * Of those topics, all of whose batches are told: whatever else waits of them, nobody has in hand. Of many a part, by
   * turns; without those that take no more.
   */
  known(time: number): { topicIds: string[]; batchIds: string[] } {
    const known = { topicIds: [] as string[], batchIds: [] as string[] };
    const byTurns = this.#busyLanes(time).toSorted(([, a], [, b]) => a.toldAt - b.toldAt);
    for (const [topicId, lane] of byTurns) {
      if (lane.isFull || known.batchIds.length + lane.waiting.size > MAX_TOLD) continue;
      lane.toldAt = performance.now();
      known.topicIds.push(topicId);
      known.batchIds.push(...lane.waiting);
    }
    return known;
  }

  /** Resolves to how many were fanned out, when all are or after about twice this time, in ms; the others go on. */
  async fanOut(left: readonly WaitingBatch[], patience: number): Promise<number> {
    const { era } = this.#context;
    const until = performance.now() + patience;
    const late = left.filter(({ topicId }) => this.#lanes.has(topicId));
    const soon = left.filter(({ topicId }) => !this.#lanes.has(topicId));
    let total = 0;
    try {
      for (let start = 0; start < soon.length; start += MAX_PAYLOADS) {
        const some = soon.slice(start, start + MAX_PAYLOADS);
        const taken = await takeFiltered(this.#context, some, until);
        total += taken.batches;
        late.push(...taken.late);
      }
    } catch (error) {
      if (!era.signal.aborted) throw error;
      return total;
    }
    return total + (await this.#goOn(late, patience));
  }

  /** Another server may not know of them. */
  forget(): void {
    this.#lanes = new Map();
  }

  /** Resolves when nothing is being fanned out. */
  async idle(): Promise<void> {
    while (this.#lanes.size > 0)
      await Promise.all([...this.#lanes.values()].map(({ ended }) => ended));
  }

  #busyLanes(time: number): [topicId: string, lane: Lane][] {
    const before = performance.now() - time;
    return [...this.#lanes].filter(([, { startedAt }]) => startedAt <= before);
  }

  async #goOn(late: readonly WaitingBatch[], patience: number): Promise<number> {
    const lanes = new Set(late.map((batch) => this.#laneOf(batch)));
    const before = performance.now() - patience;
    const awaited = [...lanes].filter(({ startedAt }) => startedAt > before);
    if (awaited.length === 0) return 0;
    const ended = Promise.all(awaited.map((lane) => lane.ended));
    const counts = await within(patience, ended);
    return counts?.reduce((sum, count) => sum + count, 0) ?? 0;
  }

  /** Of its topic, with the batch added. */
  #laneOf({ batchId, topicId }: WaitingBatch): Lane {
    let lane = this.#lanes.get(topicId);
    if (!lane) {
      const [startedAt, waiting] = [performance.now(), new Set<string>()];
      lane = { startedAt, toldAt: 0, waiting, isFull: false, ended: Promise.resolve(0) };
      this.#lanes.set(topicId, lane);
      lane.ended = this.#run(topicId, lane);
    }
    if (lane.isFull) return lane;
    lane.waiting.add(batchId);
    lane.isFull = lane.waiting.size === MAX_WAITING;
    return lane;
  }

  async #run(topicId: string, lane: Lane): Promise<number> {
    const { era, observer } = this.#context;
    let total = 0;
    // One turn later, so that what was late together goes together.
    await Promise.resolve();
    try {
      while (lane.waiting.size > 0 && !era.signal.aborted) {
        const some = [...lane.waiting].slice(0, MAX_PAYLOADS);
        // What another dispatcher has done meanwhile is not evaluated again.
        const { batches, left } = await takeUnfiltered(this.#context, some);
        total += batches + (await takeFiltered(this.#context, left)).batches;
        for (const batchId of some) lane.waiting.delete(batchId);
      }
    } catch (error) {
      // The batches are still in the outbox; the sweeper takes them up.
      if (!era.signal.aborted) observer.failed("fan-out", error);
    } finally {
      if (this.#lanes.get(topicId) === lane) this.#lanes.delete(topicId);
    }
    return total;
  }
}
