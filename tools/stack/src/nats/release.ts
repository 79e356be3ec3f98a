import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { checkNats, type NatsBinary } from "./find.ts";

const run = promisify(execFile);

/** The official release that is downloaded where the system has no nats-server. */
export const NATS_RELEASE: NatsRelease = {
  version: "2.11.8",
  baseUrl: "https://github.com/nats-io/nats-server/releases/download",
  sha256: {
    "linux-amd64": "397a6deffb5533e160de0cca322bc3dcaec7fb7282d66a3dfa87a9c183152ad1",
    "linux-arm64": "b08936cb1dc0ae7086137bda14c352df64397c4af45ed2b392705c19585aeb84",
    "darwin-amd64": "002c943c1ed39c55cc5e024debfc02685111fcb2b1cbd887aad39ac977037477",
    "darwin-arm64": "23e0c5354c2da385708946a21900c944fcb9a3bbfd02aae27a4ae750dea0b682",
    "windows-amd64": "3dd98465626e8c6ed92a784ef13c3f956c7e87fbbb4ee86cc198e377565eaeaf",
  },
};

export interface NatsRelease {
  version: string;
  baseUrl: string;
  /** SHA-256 of the archive by platform. */
  sha256: Record<string, string>;
}

/** Downloads the release into `cacheDir` once; what does not have the pinned checksum is never unpacked. */
export async function natsFromRelease(
  cacheDir: string,
  {
    release = NATS_RELEASE,
    signal,
  }: { release?: NatsRelease; signal?: AbortSignal | undefined } = {},
): Promise<NatsBinary> {
  const platform = natsPlatform();
  const checksum = release.sha256[platform];
  if (!checksum) throw new Error(`no release for ${platform}`);
  const windows = platform.startsWith("windows");
  const name = `nats-server-v${release.version}-${platform}`;
  const home = join(cacheDir, name);
  const binary = join(home, windows ? "nats-server.exe" : "nats-server");
  if (!(await stat(binary).catch(() => undefined))) {
    const archive = `${name}.${windows ? "zip" : "tar.gz"}`;
    const url = `${release.baseUrl}/v${release.version}/${archive}`;
    await inWorkFolder(cacheDir, async (work) => {
      await download(url, { file: join(work, archive), checksum, signal });
      // bsdtar, which Windows has, unpacks a zip too.
      await run("tar", ["-xf", archive], { cwd: work });
      await rename(join(work, name), home);
    });
  }
  return checkNats(binary, `official release ${release.version}`);
}

function natsPlatform(): string {
  const system = process.platform === "win32" ? "windows" : process.platform;
  return `${system}-${process.arch === "x64" ? "amd64" : process.arch}`;
}

async function inWorkFolder(
  parent: string,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(parent, "download-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Download {
  file: string;
  checksum: string;
  signal: AbortSignal | undefined;
}

async function download(url: string, { file, checksum, signal }: Download): Promise<void> {
  const timeout = AbortSignal.timeout(120_000);
  const response = await fetch(url, {
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  }).catch((error: Error) => {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    throw new Error(`download failed: ${reason || "no connection"}`, { cause: error });
  });
  if (!response.ok || !response.body)
    throw new Error(`download failed: HTTP ${response.status} for ${url}`);
  const hash = createHash("sha256");
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(Readable.fromWeb(response.body), hashing, createWriteStream(file));
  const actual = hash.digest("hex");
  if (actual !== checksum)
    throw new Error(`checksum of ${url} is ${actual}, expected ${checksum}: refused`);
}
