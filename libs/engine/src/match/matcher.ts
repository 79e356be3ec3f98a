import type { Sql } from "@sluice/database";

import { lastArchived } from "../archive/find-archived.ts";
import type { Page } from "../directory/pages.ts";
import { topicNotArchived } from "../errors.ts";
import type { MessageInput } from "../message/message.ts";
import type { Subscriptions } from "../subscriptions/subscriptions.ts";
import type { Topics } from "../topics/topics.ts";
import {
  match,
  matchArchived,
  type ArchivedMatches,
  type Match,
  type MatchRequest,
} from "./match.ts";

/** Tells who would get a message, and publishes nothing. */
export class Matcher {
  readonly #sql: Sql;
  readonly #topics: Topics;
  readonly #subscriptions: Subscriptions;

  constructor(options: { sql: Sql; topics: Topics; subscriptions: Subscriptions }) {
    this.#sql = options.sql;
    this.#topics = options.topics;
    this.#subscriptions = options.subscriptions;
  }

  /** Which subscriptions of a topic would get a message. @throws {SluiceError} `topic_not_found`, `invalid_request` */
  async match(
    account: string,
    topicName: string,
    request: { message: MessageInput } & MatchRequest,
  ): Promise<Page<Match>> {
    const topic = await this.#topics.get(account, topicName);
    return await match(this.#subscriptions, topic, request);
  }

  /**
   * The same for each of the newest messages of the archive.
   * @throws {SluiceError} `topic_not_found`, `topic_not_archived`; `too_many_requests` when it takes too long
   */
  async matchArchived(
    account: string,
    topicName: string,
    { last, ...request }: { last: number } & MatchRequest,
  ): Promise<Page<ArchivedMatches>> {
    const topic = await this.#topics.get(account, topicName);
    if (topic.archive === null) throw topicNotArchived(topicName);
    const messages = await lastArchived(this.#sql, topic, last);
    return await matchArchived(this.#subscriptions, topic, { messages, ...request });
  }
}
