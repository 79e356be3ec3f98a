/** What is up and where. */
export interface Welcome {
  url: string;
  /** Since the command was given. */
  seconds: number;
  /** Where the data is, in words. */
  data: string;
  logs: string;
  /** Whether calls need an access key. */
  needsKey: boolean;
  /** What was started; undefined for one that the user has given, and knows how to reach. */
  postgres: { port: number; folder: string } | undefined;
}

/**
 * The address, and a first message to send: lines that fit 80 columns. Topic and queue have names that no example has,
 * whose programs would not understand this message.
 */
export function welcome({ url, seconds, data, logs, needsKey, postgres }: Welcome): string {
  const header = needsKey ? `-H "$KEY" \\\n      ` : "";
  return `
Sluice is up after ${seconds.toFixed(1)} s.

  API        ${url}
  Reference  ${url}/docs
  Data       ${data}
  Logs       ${logs}
${needsKey ? howToGetKey(postgres) : ""}
A first message, from a topic into a queue, to copy:

  post() {
    curl -sS "${url}/v1/$1" \\
      ${header}-H 'content-type: application/json' -d "$2"; echo
  }
  post topics '{"name":"news"}'
  post queues '{"name":"inbox"}'
  post topics/news/subscriptions '{"queue":"inbox"}'
  post topics/news/messages '{"messages":[{"body":"hello"}]}'
  post queues/inbox/receive '{"wait":5}'

Ctrl-C stops everything.
`;
}

function howToGetKey(postgres: Welcome["postgres"]): string {
  const database = postgres
    ? `
  export PGPASSWORD=$(cat ${postgres.folder}/password)
  export DATABASE_URL=postgres://sluice@127.0.0.1:${postgres.port}/sluice`
    : "";
  return `
Every call needs an access key. Where SECRETS_KEY is the same as here:
${database}
  KEY=$(npm run -s access-key -- create | grep Authorization)
`;
}
