import { freePort, isPortFree } from "../process/free-port.ts";
import { isRefused } from "../process/refused-ports.ts";
import { StackError } from "../stack-error.ts";
import type { StartContext } from "./console.ts";

const API_PORT = 4566;
const HEALTH_PORT = 4567;
const NEIGHBOURS = 50;

/** Where API and dispatcher are to listen. */
export interface Ports {
  api: number;
  /** Of the dispatcher's health and metrics. */
  health: number;
}

/**
 * Takes HOST, PORT and HEALTH_PORT from the environment, and says so when the API cannot have its usual port.
 *
 * @throws StackError `port_taken`, `invalid_port`, `invalid_host`.
 */
export async function choosePorts({ env, progress }: StartContext): Promise<Ports> {
  const host = env["HOST"] || "127.0.0.1";
  await requireHost(host);
  const api = await choosePort({
    variable: "PORT",
    given: env["PORT"],
    fallback: API_PORT,
    host,
    except: [Number(env["HEALTH_PORT"])],
  });
  const health = await choosePort({
    variable: "HEALTH_PORT",
    given: env["HEALTH_PORT"],
    fallback: HEALTH_PORT,
    host,
    except: [api],
  });
  if (health === api) throw await onePort(api, host);
  if (!env["PORT"] && api !== API_PORT) {
    progress.line(`Port ${API_PORT} is taken: the API gets ${api}.`);
  }
  return { api, health };
}

async function requireHost(host: string): Promise<void> {
  await isPortFree(0, host).catch((cause: Error) => {
    throw new StackError(
      "invalid_host",
      `HOST=${host} is no address of this machine: ${cause.message}.`,
      { hint: "Unset it to listen on 127.0.0.1, or see docs/configuration.md.", cause },
    );
  });
}

/** A port that an environment variable may set. */
interface PortChoice {
  /** PORT, HEALTH_PORT */
  variable: string;
  given: string | undefined;
  fallback: number;
  host: string;
  /** Ports that are spoken for though nothing listens on them yet. */
  except?: readonly number[];
}

/**
 * The port to listen on. One that was asked for is used or refused; the default gives way to the next free one, because
 * a second clone on the same machine is nothing unusual.
 *
 * @throws StackError `port_taken`, `invalid_port` (also one that `fetch` refuses).
 */
async function choosePort({
  variable,
  given,
  fallback,
  host,
  except = [],
}: PortChoice): Promise<number> {
  if (given) return requirePort(variable, given, host);
  for (let port = fallback; port < fallback + NEIGHBOURS; port += 1) {
    if (!except.includes(port) && (await isPortFree(port, host))) return port;
  }
  return freePort(host);
}

async function requirePort(variable: string, given: string, host: string): Promise<number> {
  const port = Number(given);
  if (!/^\d+$/.test(given) || port > 65_535) {
    throw new StackError(
      "invalid_port",
      `${variable}=${given} is no port: expected a number from 0 (any free one) to 65535.`,
      { hint: await another(variable, host) },
    );
  }
  if (isRefused(port)) {
    throw new StackError(
      "invalid_port",
      `${variable}=${given}: browsers and fetch refuse to call this port.`,
      { hint: await another(variable, host) },
    );
  }
  // Chosen here and not by the process: what clients are sent has the address of the API in it.
  if (port === 0) return freePort(host);
  if (await isPortFree(port, host)) return port;
  throw new StackError(
    "port_taken",
    `${variable}=${given}: something else listens on ${host}:${port}.`,
    { hint: `Stop that, or c${(await another(variable, host)).slice(1)}` },
  );
}

async function onePort(port: number, host: string): Promise<StackError> {
  return new StackError(
    "port_taken",
    `PORT and HEALTH_PORT are both ${port}: each has to be free.`,
    {
      hint: await another("HEALTH_PORT", host),
    },
  );
}

/** A command to copy. */
async function another(variable: string, host: string): Promise<string> {
  return `Choose another port: ${variable}=${await freePort(host)} npm start`;
}
