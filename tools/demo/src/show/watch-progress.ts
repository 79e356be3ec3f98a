import type { PublishedLog } from "../measure/published-log.ts";
import { services, type ServiceName } from "../measure/result.ts";
import type { Tally } from "../measure/tally.ts";
import { barLines, barSentence, type Bar } from "./bars.ts";
import type { Display } from "./display.ts";

export interface Watched {
  readonly log: PublishedLog;
  readonly tallies: Readonly<Record<ServiceName, Tally>>;
  readonly total: number;
}

/** Shows how far publishing and every service are, until it is disposed. */
export function watchProgress(display: Display, watched: Watched): Disposable {
  return display.watch({
    live: (columns) => barLines(barsOf(watched), columns),
    plain: () => barSentence(barsOf(watched)),
  });
}

function barsOf({ log, tallies, total }: Watched): Bar[] {
  return [
    { name: "published", value: log.size, total },
    ...services.map((name) => {
      const { handled, redeliveries } = tallies[name];
      const note = redeliveries === 0 ? "" : `${redeliveries} redelivered`;
      return { name, value: handled.size, total, note };
    }),
  ];
}
