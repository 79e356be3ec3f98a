import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as listen } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary-folder.ts";
import { findNatsOnPath } from "./find.ts";
import { locateNats } from "./locate.ts";
import { runningNats, startNats } from "./nats.ts";
import { natsFromRelease, type NatsRelease } from "./release.ts";

const run = promisify(execFile);

test("a nats-server on PATH is used", async () => {
  await using folder = await temporaryFolder();
  const path = await fakeNats(join(folder.path, "nats-server"), "v2.10.3");
  expect(await findNatsOnPath(folder.path)).toEqual({ path, version: "2.10.3", origin: "on PATH" });
});

test("a nats-server older than 2.9 is passed over for the next source, and the reason is kept", async () => {
  await using folder = await temporaryFolder();
  const path = await fakeNats(join(folder.path, "nats-server"), "v2.7.4");
  const search = await locateNats(undefined, [() => findNatsOnPath(folder.path)]);
  expect(search).toEqual({ reasons: [`${path} is 2.7.4, older than 2.9`] });
});

test("a release is downloaded once, verified and unpacked", async () => {
  await using site = await releaseSite();
  await using cache = await temporaryFolder();
  const first = await natsFromRelease(cache.path, site);
  expect(first).toMatchObject({ version: "2.11.8", origin: "official release 2.11.8" });
  await natsFromRelease(cache.path, site);
  expect(site.requests()).toBe(1);
});

test("a release with another checksum is refused and nothing of it stays", async () => {
  await using site = await releaseSite();
  await using cache = await temporaryFolder();
  const sha256 = Object.fromEntries(
    Object.keys(site.release.sha256).map((key) => [key, "0".repeat(64)]),
  );
  await expect(
    natsFromRelease(cache.path, { release: { ...site.release, sha256 } }),
  ).rejects.toThrow(/checksum of .*: refused/);
  expect(await readdir(cache.path)).toEqual([]);
});

test("a platform or a site without a release says so", async () => {
  await using cache = await temporaryFolder();
  await using site = await releaseSite();
  await expect(
    natsFromRelease(cache.path, { release: { ...site.release, sha256: {} } }),
  ).rejects.toThrow(/no release for/);
  await expect(
    natsFromRelease(cache.path, { release: { ...site.release, version: "9.9.9" } }),
  ).rejects.toThrow(/HTTP 404/);
});

test("a killed server starts again on the same port and folder", async () => {
  await using folder = await temporaryFolder();
  const first = await startNats({ storeDir: folder.path });
  expect(await runningNats(folder.path)).toBe(first.pid);
  expect(await first.kill()).toEqual({ code: null, signal: "SIGKILL" });
  await using second = await startNats({ storeDir: folder.path, port: first.port });
  expect(second.url).toBe(first.url);
  expect((await stat(join(folder.path, "jetstream"))).isDirectory()).toBe(true);
});

test("a second server on the same folder is refused", async () => {
  await using folder = await temporaryFolder();
  await using server = await startNats({ storeDir: folder.path });
  await expect(startNats({ storeDir: folder.path })).rejects.toMatchObject({
    code: "already_running",
    message: expect.stringContaining(`pid ${server.pid}`),
  });
});

test("streams of somebody else's nats-server are refused, and left as they are", async () => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, "jetstream"));
  await expect(startNats({ storeDir: folder.path })).rejects.toMatchObject({
    code: "data_folder_denied",
    message: expect.stringContaining("another nats-server"),
    hint: expect.stringContaining("SLUICE_DATA_DIR"),
  });
  expect(await readdir(folder.path)).toEqual(["jetstream"]);
});

test("a remembered port that somebody took is left to them, a required one is an error", async () => {
  await using folder = await temporaryFolder();
  await using other = await occupiedPort();
  await writeFile(join(folder.path, "port"), `${other.port}\n`);
  await expect(startNats({ storeDir: folder.path, port: other.port })).rejects.toMatchObject({
    code: "port_taken",
  });
  await using server = await startNats({ storeDir: folder.path });
  expect(server.port).not.toBe(other.port);
  expect(await readFile(join(folder.path, "port"), "utf8")).toBe(`${server.port}\n`);
});

async function fakeNats(path: string, version: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: ${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

/** Serves a release whose archive is real and whose nats-server is a script, for every platform. */
async function releaseSite() {
  const folder = await temporaryFolder();
  const platform = `${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  const name = `nats-server-v2.11.8-${platform}`;
  await fakeNats(join(folder.path, name, "nats-server"), "v2.11.8");
  await run("tar", ["-czf", "archive.tar.gz", name], { cwd: folder.path });
  const archive = await readFile(join(folder.path, "archive.tar.gz"));
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    const known = request.url === `/v2.11.8/${name}.tar.gz`;
    response.writeHead(known ? 200 : 404).end(known ? archive : "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const release: NatsRelease = {
    version: "2.11.8",
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sha256: { [platform]: createHash("sha256").update(archive).digest("hex") },
  };
  return {
    release,
    requests: () => requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function occupiedPort() {
  const server = listen();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
