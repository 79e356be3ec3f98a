/** What is up and where. */
export interface Welcome {
  url: string;
  /** Since the command was given. */
  seconds: number;
  /** Where the data is, in words. */
  data: string;
  logs: string;
}

/** The address, and a first message to send: lines that fit 80 columns. */
export function welcome({ url, seconds, data, logs }: Welcome): string {
  return `
Sluice is up after ${seconds.toFixed(1)} s.

  API        ${url}
  Reference  ${url}/docs
  Data       ${data}
  Logs       ${logs}

A first message, from a topic into a queue, to copy:

  post() {
    curl -sS "${url}/v1/$1" \\
      -H 'content-type: application/json' -d "$2"; echo
  }
  post topics '{"name":"orders"}'
  post queues '{"name":"billing"}'
  post topics/orders/subscriptions '{"queue":"billing"}'
  post topics/orders/messages '{"messages":[{"body":"order 1"}]}'
  post queues/billing/receive '{"wait":5}'

Ctrl-C stops everything.
`;
}
