import { collect } from "./collect.ts";

/** Loaded into a process before its program: at each SIGUSR2 it collects its garbage and writes what it keeps. */
let asked = 0;
process.on("SIGUSR2", () => {
  const number = (asked += 1);
  void collect().then((kept) => console.log(JSON.stringify({ event: "probe.kept", number, kept })));
});
