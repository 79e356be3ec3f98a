interface Listening {
  readonly acts: Set<() => void>;
  readonly listener: () => void;
}

const bySignal = new WeakMap<AbortSignal, Listening>();

/**
 * Acts when the signal aborts, and returns how to take that back.
 *
 * All that wait for one signal share a listener: a program may give the same one to any number of calls, and Node takes
 * more than ten for a leak and says so on the console.
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const listening = bySignal.get(signal) ?? listenTo(signal);
  // Its own, whatever else the same function is to be called for.
  const own = () => act();
  listening.acts.add(own);
  return () => {
    listening.acts.delete(own);
    if (listening.acts.size > 0 || bySignal.get(signal) !== listening) return;
    signal.removeEventListener("abort", listening.listener);
    bySignal.delete(signal);
  };
}

function listenTo(signal: AbortSignal): Listening {
  const acts = new Set<() => void>();
  const listener = () => {
    for (const act of acts) act();
  };
  signal.addEventListener("abort", listener);
  const listening = { acts, listener };
  bySignal.set(signal, listening);
  return listening;
}
