import type { NodeConnectionOptions } from "@nats-io/transport-node";

/**
 * What the client library is told for these server URLs. It knows neither credentials nor TLS in a URL, so they are
 * taken apart here: `nats://user:password@host`, `nats://token@host`, `tls://host`.
 */
export function connectionOptions(servers: readonly string[], name: string): NodeConnectionOptions {
  const urls = servers.map((server) => new URL(server));
  const login = urls.find((url) => url.username !== "");
  return {
    servers: urls.map((url) => url.host),
    name,
    ...(urls.some((url) => url.protocol === "tls:") && { tls: {} }),
    ...(login !== undefined && credentials(login)),
    // What a process signals it tells its own handlers itself, and sooner.
    noEcho: true,
    timeout: 5_000,
    maxReconnectAttempts: -1,
    // A wrong password is mended on the server as likely as here.
    ignoreAuthErrorAbort: true,
    // Anew for each attempt, so that processes that lost a server together do not come back together.
    reconnectDelayHandler: () => 100 + Math.random() * 1_900,
    // A server that hangs (paused, cut off) is given up after 20 to 30 seconds; by default it takes six minutes.
    pingInterval: 10_000,
    maxPingOut: 2,
  };
}

function credentials({ username, password }: URL): NodeConnectionOptions {
  const user = decodeURIComponent(username);
  return password === "" ? { token: user } : { user, pass: decodeURIComponent(password) };
}
