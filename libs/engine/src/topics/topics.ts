import { schema, type ControlPlane } from "@sluice/database";
import { asc, getTableColumns, sql } from "drizzle-orm";

import { accountOf } from "../directory/account.ts";
import { differingSettings } from "../directory/differing-settings.ts";
import {
  DEFAULT_PAGE,
  fitsPage,
  fittingLimit,
  ifFits,
  inTurn,
  pageOf,
  type Page,
  type PageRequest,
} from "../directory/pages.ts";
import { isAmongThose, isListed, isNamed, pageOfNames } from "../directory/named-tables.ts";
import { SharedLookUps } from "../directory/shared-look-ups.ts";
import { withoutUndefined } from "../directory/without-undefined.ts";
import { SluiceError, topicNotFound } from "../errors.ts";
import { cancelReplays } from "../replay/replays.ts";
import { checkTopicSettings, topicDefaults, type TopicSettings } from "./topic-settings.ts";

export interface Topic extends TopicSettings {
  id: string;
  account: string;
  name: string;
  /** How long everything published is kept for replays; null: it is not. */
  archive: Archive | null;
  /** Since when it is, however long it keeps a message. */
  archivedSince: Date | null;
  /** What AWS' protocols set and show although it has no meaning here. */
  awsAttributes: Record<string, string>;
  createdAt: Date;
}

/** As lists show it. */
export type ListedTopic = Omit<Topic, "awsAttributes">;

export interface Archive {
  /** 1-365 */
  days: number;
}

export type SettableTopic = Partial<TopicSettings & Pick<Topic, "archive" | "awsAttributes">>;

/** Of the settings that make two topics differ, as an archive does where it is named. */
const settingNames = Object.keys(topicDefaults) as (keyof TopicSettings)[];

const { topics } = schema;
const { awsAttributes: _awsAttributes, ...listedColumns } = getTableColumns(topics);

/** By account and name, as {@link SharedLookUps} has them; its SQL is put together once. */
function lookUp(db: ControlPlane) {
  return db.select().from(topics).where(isAmongThose(topics)).prepare("look_up_topics");
}

/** Topics in Postgres: create, look up, list, change, delete. */
export class Topics {
  readonly #db: ControlPlane;
  readonly #lookUps: SharedLookUps<Topic>;

  constructor({ control, lookUps }: { control: ControlPlane; lookUps: ControlPlane }) {
    this.#db = control;
    const prepared = lookUp(lookUps);
    this.#lookUps = new SharedLookUps(async (those) =>
      (await prepared.execute(those)).map(topicOf),
    );
  }

  /**
   * Creates a topic, or finds the one that is there with the same settings. @throws {SluiceError} `topic_exists`,
   * `invalid_request`
   */
  async create(
    account: string,
    { name, archive, ...some }: { name: string } & SettableTopic,
  ): Promise<{ topic: Topic; created: boolean }> {
    const settings = { ...topicDefaults, ...withoutUndefined(some) };
    checkTopicSettings(name, settings);
    const [row] = await this.#db
      .insert(topics)
      .values({
        ...settings,
        ...archiveColumns(archive ?? null, false),
        account: BigInt(account),
        name,
      })
      .onConflictDoNothing()
      .returning();
    if (row) return { topic: topicOf(row), created: true };
    const existing = await this.find(account, name);
    // Deleted between the two statements: it is free again.
    if (!existing) return await this.create(account, { name, archive, ...some });
    const given = { ...some, archive };
    const names = archive === undefined ? settingNames : [...settingNames, "archive" as const];
    const details = differingSettings(names, { existing, wanted: { ...settings, archive }, given });
    if (details.length > 0) {
      const differing = details.map(({ path }) => path).join(", ");
      throw new SluiceError(
        "topic_exists",
        `topic "${name}" exists with another ${differing}; change it with PATCH /v1/topics/${name}`,
        { details },
      );
    }
    return { topic: existing, created: false };
  }

  /** As it is at the call or later. */
  find(account: string, name: string): Promise<Topic | undefined> {
    return this.#lookUps.find(account, name);
  }

  /** @throws {SluiceError} `topic_not_found` */
  async get(account: string, name: string): Promise<Topic> {
    const topic = await this.find(account, name);
    if (!topic) throw topicNotFound(name);
    return topic;
  }

  /** By name, in order of names. With large tags a page has fewer than it might have. */
  async list(account: string, request: PageRequest): Promise<Page<ListedTopic>> {
    const { limit = DEFAULT_PAGE } = request;
    const fits = fitsPage(sql`octet_length(${topics.tags}::text)`, topics.name);
    const rows = await inTurn(account, async () =>
      this.#db
        .select({ topic: { ...listedColumns, tags: ifFits(fits, topics.tags) }, fits })
        .from(topics)
        .where(isListed(topics, account, request))
        .orderBy(asc(topics.name))
        .limit(limit + 1),
    );
    const items = rows.map(({ topic }) => listedTopicOf(topic));
    return pageOf(items, fittingLimit(rows, limit), ({ name }) => name);
  }

  /** The same, their names alone. */
  async names(account: string, request: PageRequest): Promise<Page<string>> {
    return await pageOfNames(this.#db, topics, account, request);
  }

  /**
   * Changes what is named and leaves the rest; of two calls at once both count. An archive that is switched off loses
   * what it has, for good, and the replays of it end.
   * @param change - or what it is for the topic as it is, which nobody else changes meanwhile
   * @throws {SluiceError} `topic_not_found`; `invalid_request` for what does not fit the kind of the topic
   */
  async update(
    account: string,
    name: string,
    change: SettableTopic | ((before: Topic) => SettableTopic),
  ): Promise<Topic> {
    return await this.#db.transaction(async (tx) => {
      const [locked] = await tx
        .select()
        .from(topics)
        .where(isNamed(topics, account, name))
        .for("no key update");
      if (!locked) throw topicNotFound(name);
      const before = topicOf(locked);
      const { archive, ...some } = typeof change === "function" ? change(before) : change;
      const settings = withoutUndefined(some);
      checkTopicSettings(name, { ...before, ...settings });
      const columns = { ...settings, ...(archive !== undefined && archiveColumns(archive)) };
      if (Object.keys(columns).length === 0) return before;
      const [row] = await tx
        .update(topics)
        .set(columns)
        .where(isNamed(topics, account, name))
        .returning();
      if (!row) throw topicNotFound(name);
      if (archive === null) await cancelReplays(tx, row.id);
      return topicOf(row);
    });
  }

  /**
   * Deletes a topic and its subscriptions; what was fanned out stays in the queues. @throws {SluiceError}
   * `topic_not_found`
   */
  async delete(account: string, name: string): Promise<void> {
    const rows = await this.#db
      .delete(topics)
      .where(isNamed(topics, account, name))
      .returning({ id: topics.id });
    if (rows.length === 0) throw topicNotFound(name);
  }
}

/**
 * One that is there already goes on: what it has kept until now stays. A new one begins after what is left of an
 * earlier one, also where a clock was set back since.
 */
function archiveColumns(archive: Archive | null, existing = true) {
  const since = existing
    ? sql`coalesce(${topics.archivedSince}, greatest(clock_timestamp(), (
        SELECT max(a.published_at) + interval '1 microsecond' FROM archived_batches a WHERE a.topic_id = ${topics.id})))`
    : sql`clock_timestamp()`;
  return {
    archiveDays: archive?.days ?? null,
    archivedSince: archive === null ? null : since,
  };
}

function topicOf(row: typeof topics.$inferSelect): Topic {
  return { ...listedTopicOf(row), awsAttributes: row.awsAttributes };
}

function listedTopicOf(row: Omit<typeof topics.$inferSelect, "awsAttributes">): ListedTopic {
  const { archiveDays, ...columns } = row;
  return {
    ...columns,
    id: String(row.id),
    account: accountOf(row.account),
    archive: archiveDays === null ? null : { days: archiveDays },
  };
}
