import { expect, test } from "vitest";
import { isRefused } from "./refused-ports.ts";

const ports = Array.from({ length: 11_000 }, (_, index) => index + 1);

test("the ports that fetch refuses are known", async () => {
  // What gets past its check ends here.
  const dispatcher = {
    dispatch(_: unknown, handler: { onError: (error: Error) => void }) {
      handler.onError(new Error("called"));
      return true;
    },
  };
  const refusing: number[] = [];
  for (const port of ports) {
    const init = { dispatcher } as RequestInit;
    const { cause } = (await fetch(`http://127.0.0.1:${port}`, init).catch(
      (error: Error) => error,
    )) as Error;
    if ((cause as Error).message === "bad port") refusing.push(port);
  }
  expect(ports.filter(isRefused)).toEqual(refusing);
});
