import { Story, type Span } from "./story.ts";

/** Stories that more than one test of the checker begins with. */

export const at = (seconds: number, until = seconds + 0.01): Span => ({ at: seconds, until });

export const toBlue = { topic: "topic", queue: "queue", kinds: ["blue"] };

/** One queue wants red messages at first, the other one all. */
export function filtered(more: { lateMs?: number } = {}) {
  const subscriptions = [
    { topic: "topic", queue: "queue", kinds: ["red"] },
    { topic: "topic", queue: "other" },
  ];
  return new Story({ subscriptions }, more);
}

/** A message that is received as often as it may, and then anew. */
export function twoStays(story: Story): Story {
  story.send(at(100), "retry", "a");
  story.receive(at(101), "retry", { value: "a", firstAt: 101_000 });
  story.receive(at(107), "retry", { value: "a", count: 2, firstAt: 101_000 });
  return story.take(at(115), "retry", { value: "a", firstAt: 115_000 });
}
