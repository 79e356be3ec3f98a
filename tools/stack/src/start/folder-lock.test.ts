import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startProcess } from "../process/service.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { lockFolder } from "./folder-lock.ts";

test("of those who begin at once on a new folder one has it, and the others are told which", async () => {
  await using parent = await temporaryFolder();
  const folder = join(parent.path, "data");
  const all = await Promise.allSettled(Array.from({ length: 5 }, () => lockFolder(folder)));
  const refused = all.filter((one) => one.status === "rejected").map((one) => one.reason as Error);
  expect(refused).toHaveLength(4);
  for (const error of refused)
    expect(error).toMatchObject({
      code: "already_running",
      message: expect.stringContaining(`pid ${process.pid}`) as string,
      hint: expect.stringContaining("SLUICE_DATA_DIR") as string,
    });
  for (const one of all) if (one.status === "fulfilled") await one.value[Symbol.asyncDispose]();
  await using _ = await lockFolder(folder);
});

test("a folder is the same by another path, and another one is free", async () => {
  await using folder = await temporaryFolder();
  await using other = await temporaryFolder();
  await using _ = await lockFolder(folder.path);
  await symlink(folder.path, join(other.path, "link"));
  await expect(lockFolder(join(other.path, "link"))).rejects.toMatchObject({
    code: "already_running",
  });
  await using __ = await lockFolder(other.path);
});

test("a folder is free again once whoever had it is killed", async () => {
  await using folder = await temporaryFolder();
  const code = `
    const { lockFolder } = await import(${JSON.stringify(new URL("../../dist/start/folder-lock.js", import.meta.url).href)});
    await lockFolder(${JSON.stringify(folder.path)});
    console.log("has it");`;
  const holder = await startProcess({
    name: "holder",
    script: "--input-type=module",
    args: ["--eval", code],
    ready: (line) => (line === "has it" ? line : undefined),
  });
  await expect(lockFolder(folder.path)).rejects.toMatchObject({
    message: expect.stringContaining(`pid ${holder.pid}`) as string,
  });
  await holder.kill();
  await using _ = await lockFolder(folder.path);
});
