import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { serve, type HttpServer, type ServeOptions } from "@sluice/http-api";

import type { TestApi } from "./api.ts";

export const MIB = 1024 * 1024;

export const json = "Content-Type: application/json";
export const close = "Connection: close";
export const good = '{"messages":[{"body":"m"}]}';

/** What a POST begins with, up to its body. */
export function headOf(path: string, lines: string[]): string {
  return `${[`POST ${path} HTTP/1.1`, "Host: test", ...lines].join("\r\n")}\r\n\r\n`;
}

/** What a send to this queue begins with: the good one, where nothing else is said. */
export function sendHead(queue: string, lines = [json, `Content-Length: ${good.length}`]): string {
  return headOf(`/v1/queues/${queue}/messages`, lines);
}

/** A whole receive. */
export function receiveFrom(queue: string, body: object): string {
  const text = JSON.stringify(body);
  return headOf(`/v1/queues/${queue}/receive`, [json, `Content-Length: ${text.length}`]) + text;
}

/** What the server says until it closes the connection. A reset while we still write is no answer, but no failure. */
export async function answerOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

type Limits = Pick<
  ServeOptions,
  "maxConnections" | "stalledAfterMs" | "stoodStillAfterMs" | "onStandstill" | "maxUnread"
>;

/** An API behind a port of its own, and clients that have bare sockets to it. */
export class ServedApi implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly #server: HttpServer;
  readonly #sockets: Socket[] = [];

  private constructor(server: HttpServer) {
    this.#server = server;
    this.url = server.url;
    this.port = Number(new URL(server.url).port);
  }

  static async start({ app }: TestApi, limits: Limits = {}): Promise<ServedApi> {
    const { fetch, direct } = app;
    return new ServedApi(await serve({ fetch, direct, host: "127.0.0.1", port: 0, ...limits }));
  }

  /** Its end destroys it, if nobody else did. */
  async connect(): Promise<Socket> {
    const socket = connect(this.port, "127.0.0.1");
    socket.on("error", () => undefined);
    this.#sockets.push(socket);
    await once(socket, "connect");
    return socket;
  }

  /** The beginning of the answer; empty when there is none. */
  async asks(socket: Socket): Promise<string> {
    socket.write("GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
    return await new Promise((resolve) => {
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1")));
      socket.once("close", () => resolve(""));
    });
  }

  close(endWaiting?: () => void): Promise<void> {
    return this.#server.close(endWaiting);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#server.close();
  }
}
