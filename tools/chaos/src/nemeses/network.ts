import { between, pick } from "../random.ts";
import type { LinkName } from "../system/system.ts";
import type { Proxy, Weather } from "../system/proxy.ts";
import { last, type Battlefield, type Strike } from "./nemesis.ts";

const links: LinkName[] = [
  "clients",
  "api-postgres",
  "dispatcher-postgres",
  "api-nats",
  "dispatcher-nats",
];

/** What happens on the way between two processes: five kinds of trouble on each of five links. */
export const networkStrikes: Record<string, Strike> = Object.fromEntries(
  links.flatMap((link): [string, Strike][] => [
    [
      `reset-${link}`,
      async (field) => {
        for (let times = 0; times < 3; times += 1) {
          proxyOf(field, link).reset();
          await last(field, 0);
        }
      },
    ],
    [
      `tear-${link}`,
      (field) => weather(field, link, { resetAfter: between(field.random, 50, 20_000) }),
    ],
    [`delay-${link}`, (field) => weather(field, link, { delayMs: between(field.random, 50, 500) })],
    [`swallow-${link}`, (field) => weather(field, link, { swallowAnswers: true })],
    [`silence-${link}`, (field) => weather(field, link, { silent: true })],
  ]),
);

async function weather(
  field: Battlefield,
  link: LinkName,
  changed: Partial<Weather>,
): Promise<void> {
  const proxy = proxyOf(field, link);
  proxy.set(changed);
  await last(field, 0.5);
  proxy.set({});
  // What is missing in the middle of a connection nobody can make up for: whoever hangs on it is told now.
  if (changed.silent === true) proxy.reset();
}

function proxyOf({ system, random }: Battlefield, link: LinkName): Proxy {
  return pick(random, system.links.get(link) ?? []);
}
