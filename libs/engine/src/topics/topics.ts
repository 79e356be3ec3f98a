import { schema, type ControlPlane } from "@sluice/database";
import { and, asc, eq, gt, like } from "drizzle-orm";

import { accountOf } from "../directory/account.ts";
import {
  afterCursor,
  DEFAULT_PAGE,
  likePrefix,
  pageOf,
  type Page,
  type PageRequest,
} from "../directory/pages.ts";
import { SluiceError, topicNotFound } from "../errors.ts";
import {
  checkTopicSettings,
  differingTopicSettings,
  topicDefaults,
  type TopicSettings,
} from "./topic-settings.ts";

export interface Topic extends TopicSettings {
  id: string;
  account: string;
  name: string;
  /** What AWS' protocols set and show although it has no meaning here. */
  awsAttributes: Record<string, string>;
  createdAt: Date;
}

type SettableTopic = Partial<TopicSettings & Pick<Topic, "awsAttributes">>;

const { topics } = schema;

/** Topics in Postgres: create, look up, list, change, delete. */
export class Topics {
  readonly #db: ControlPlane;

  constructor(db: ControlPlane) {
    this.#db = db;
  }

  /** Creates a topic, or finds the one that is there with the same settings. @throws {SluiceError} `topic_exists`, `invalid_request` */
  async create(
    account: string,
    { name, ...some }: { name: string } & SettableTopic,
  ): Promise<{ topic: Topic; created: boolean }> {
    const settings = { ...topicDefaults, ...withoutUndefined(some) };
    checkTopicSettings(name, settings);
    const [row] = await this.#db
      .insert(topics)
      .values({ ...settings, account: BigInt(account), name })
      .onConflictDoNothing()
      .returning();
    if (row) return { topic: topicOf(row), created: true };
    const existing = await this.find(account, name);
    // Deleted between the two statements: it is free again.
    if (!existing) return await this.create(account, { name, ...some });
    const differing = differingTopicSettings(existing, settings);
    if (differing.length > 0) {
      throw new SluiceError(
        "topic_exists",
        `topic "${name}" exists with another ${differing.join(", ")}; change it with PATCH /v1/topics/${name}`,
      );
    }
    return { topic: existing, created: false };
  }

  async find(account: string, name: string): Promise<Topic | undefined> {
    const [row] = await this.#db.select().from(topics).where(named(account, name));
    return row && topicOf(row);
  }

  /** By name, in order of names. */
  async list(
    account: string,
    { prefix, cursor, limit = DEFAULT_PAGE }: PageRequest,
  ): Promise<Page<Topic>> {
    const after = afterCursor(cursor);
    const rows = await this.#db
      .select()
      .from(topics)
      .where(
        and(
          eq(topics.account, BigInt(account)),
          after === undefined ? undefined : gt(topics.name, after),
          prefix === undefined ? undefined : like(topics.name, likePrefix(prefix)),
        ),
      )
      .orderBy(asc(topics.name))
      .limit(limit + 1);
    return pageOf(rows.map(topicOf), limit, (topic) => topic.name);
  }

  /**
   * Changes what is named and leaves the rest.
   * @throws {SluiceError} `topic_not_found`; `invalid_request` for what does not fit the kind of the topic
   */
  async update(account: string, name: string, change: SettableTopic): Promise<Topic> {
    const settings = withoutUndefined(change);
    const before = await this.find(account, name);
    if (!before) throw topicNotFound(name);
    checkTopicSettings(name, { ...before, ...settings });
    if (Object.keys(settings).length === 0) return before;
    const [row] = await this.#db
      .update(topics)
      .set(settings)
      .where(named(account, name))
      .returning();
    if (!row) throw topicNotFound(name);
    return topicOf(row);
  }

  /** Deletes a topic and its subscriptions; what was fanned out stays in the queues. @throws {SluiceError} `topic_not_found` */
  async delete(account: string, name: string): Promise<void> {
    const rows = await this.#db
      .delete(topics)
      .where(named(account, name))
      .returning({ id: topics.id });
    if (rows.length === 0) throw topicNotFound(name);
  }
}

function named(account: string, name: string) {
  return and(eq(topics.account, BigInt(account)), eq(topics.name, name));
}

function topicOf(row: typeof topics.$inferSelect): Topic {
  return { ...row, id: String(row.id), account: accountOf(row.account) };
}

function withoutUndefined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}
