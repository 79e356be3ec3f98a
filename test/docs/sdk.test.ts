import { execFile } from "node:child_process";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { createTestDatabase, temporaryFolder } from "@sluice/stack/testing";
import { startStandalone } from "@sluice/stack";
import { describe, expect, inject, test } from "vitest";

import { codeBlocks, pages, root } from "./markdown.ts";

const run = promisify(execFile);

describe.each(["libs/client", "libs/producer", "libs/consumer"])("the package %s", (folder) => {
  test("says what it is", async () => {
    const manifest = JSON.parse(await readFile(join(root, folder, "package.json"), "utf8")) as {
      description?: string;
    };
    expect(manifest.description).toMatch(/^[A-Z].+ Sluice .+\.$/);
  });

  test("has a README that links to nothing outside of it: there the links lead nowhere", async () => {
    const text = await readFile(join(root, folder, "README.md"), "utf8");
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
    expect(links.filter((link) => !/^(https:|#)/.test(link))).toEqual([]);
  });
});

test(
  "the packages are packed, installed elsewhere and used as docs/sdk.md says",
  { timeout: 120_000 },
  async () => {
    await using home = await temporaryFolder();
    await using database = await createTestDatabase(inject("databaseUrl"));
    await using sluice = await startStandalone({ databaseUrl: database.url });
    const page = pages().find(({ path }) => path === "docs/sdk.md");
    const [commands = ""] = page ? codeBlocks(page, "sh") : [];
    expect(commands).toContain("npm install");
    const service = join(home.path, "my-service");
    // What comes from the registry is taken from here, so that the test needs no network.
    const theirs = ["undici", "@standard-schema/spec", "zod"];
    const dependencies = Object.fromEntries(
      theirs.map((name) => [name, `file:${join(root, "node_modules", name)}`]),
    );
    await run("mkdir", ["-p", service]);
    await writeFile(
      join(service, "package.json"),
      JSON.stringify({ name: "my-service", type: "module", dependencies, overrides: dependencies }),
    );
    // Nor do those of theirs that prepare a clone for work on it run.
    const npm = { npm_config_offline: "true", npm_config_ignore_scripts: "true" };
    // Without what `npm test` tells its scripts of this project.
    const env = { PATH: process.env["PATH"], HOME: home.path, ...npm };
    await run("sh", ["-e", "-c", commands], { cwd: root, env });

    await copyFile(join(root, "examples/dist/quick-start.js"), join(service, "quick-start.js"));
    const { stdout, stderr } = await run(process.execPath, ["quick-start.js"], {
      cwd: service,
      env: { ...process.env, SLUICE_URL: sluice.url },
    });
    expect({ stdout, stderr }).toEqual({ stdout: "bill 12.5 for order o-1\n", stderr: "" });

    // As a program for browsers is compiled, whose compiler looks at the declarations of packages too.
    await writeFile(
      join(service, "types.ts"),
      'import "@sluice/producer";\nimport "@sluice/consumer";\n',
    );
    const options = "--noEmit --strict --target es2022 --module nodenext --lib es2022,dom";
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    await run(process.execPath, [tsc, ...options.split(" "), "--types", "", "types.ts"], {
      cwd: service,
    });

    // CommonJS, by hand and as TypeScript makes it of what a framework is written in.
    expect(page?.text).toContain("CommonJS");
    await writeFile(
      join(service, "service.cts"),
      'import { connect, queue } from "@sluice/client";\nimport { createConsumer } from "@sluice/consumer";\n' +
        'const url: string = "http://127.0.0.1:1";\n' +
        'console.log(typeof createConsumer(connect({ url }), queue("q")).run);\n',
    );
    const common = "--strict --target es2022 --module nodenext --lib es2022,dom service.cts";
    await run(process.execPath, [tsc, "--types", "", ...common.split(" ")], { cwd: service });
    const required = await run(process.execPath, ["service.cjs"], { cwd: service });
    expect(required).toEqual({ stdout: "function\n", stderr: "" });
  },
);
