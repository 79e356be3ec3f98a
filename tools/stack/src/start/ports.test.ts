import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "../process/free-port.ts";
import type { StartContext } from "./console.ts";
import { choosePorts } from "./ports.ts";

test("a port that was asked for is used", async () => {
  const [api, health] = [await freePort(), await freePort()];
  const ports = await choosePorts(context({ PORT: `${api}`, HEALTH_PORT: `${health}` }));
  expect(ports).toEqual({ api, health });
});

test("a port that was asked for and is taken is an error with a free one to copy", async () => {
  await using other = await occupied();
  await expect(choosePorts(context({ PORT: `${other.port}` }))).rejects.toMatchObject({
    code: "port_taken",
    hint: expect.stringMatching(/PORT=\d+ npm start/),
  });
});

test.each(["http", "-1", "65536", "0x10", " 80"])("PORT=%j is refused", async (port) => {
  await expect(choosePorts(context({ PORT: port }))).rejects.toMatchObject({
    code: "invalid_port",
  });
});

test.each([
  ["PORT", "6000"],
  ["PORT", "6666"],
  ["HEALTH_PORT", "10080"],
])(
  "%s=%s, which fetch refuses to call, is refused with another one to copy",
  async (name, port) => {
    await expect(choosePorts(context({ [name]: port }))).rejects.toMatchObject({
      code: "invalid_port",
      message: expect.stringContaining(`${name}=${port}`) as string,
      hint: expect.stringMatching(new RegExp(String.raw`${name}=\d+ npm start`)) as string,
    });
  },
);

test("API and dispatcher never get the same port by default", async () => {
  const { api, health } = await choosePorts(context({}));
  expect(api).not.toBe(health);
});

test("a health port that is the usual port of the API is left to the dispatcher", async () => {
  const { api: usual } = await choosePorts(context({}));
  const { api, health } = await choosePorts(context({ HEALTH_PORT: `${usual}` }));
  expect(health).toBe(usual);
  expect(api).not.toBe(usual);
});

test("one port for both is refused with another one to copy", async () => {
  const port = `${await freePort()}`;
  await expect(choosePorts(context({ PORT: port, HEALTH_PORT: port }))).rejects.toMatchObject({
    code: "port_taken",
    message: expect.stringContaining(`PORT and HEALTH_PORT are both ${port}`) as string,
    hint: expect.stringMatching(/HEALTH_PORT=\d+ npm start/) as string,
  });
});

// The second one is kept for documentation.
test.each(["no-such-host.invalid", "192.0.2.1"])(
  "HOST=%s, where nothing can listen, is refused by its name",
  async (host) => {
    await expect(choosePorts(context({ HOST: host }))).rejects.toMatchObject({
      code: "invalid_host",
      message: expect.stringContaining(`HOST=${host} is no address of this machine`) as string,
    });
  },
);

function context(env: NodeJS.ProcessEnv): StartContext {
  const progress = {
    step: <T>(_label: string, work: () => Promise<T>) => work(),
    line: () => {},
    alarm: () => {},
  };
  return { env, progress, startedAt: 0 };
}

async function occupied() {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
