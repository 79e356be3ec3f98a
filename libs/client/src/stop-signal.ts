/**
 * A controller whose signal many calls may listen to at once: as many as a consumer has under way. Node takes more than
 * ten for a leak and says so on the console, unless it is told.
 */
export function stopController(): AbortController {
  const controller = new AbortController();
  const { process } = globalThis as { process?: NodeProcess };
  const events = process?.getBuiltinModule?.("node:events");
  events?.setMaxListeners?.(0, controller.signal);
  return controller;
}

interface NodeProcess {
  getBuiltinModule?: (
    name: string,
  ) => { setMaxListeners?: (count: number, target: EventTarget) => void } | undefined;
}
