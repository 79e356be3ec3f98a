// Loaded into a process before anything else (node --import): its clock is off by as many milliseconds as the file that
// CHAOS_CLOCK names says, from the moment it says so. Only what reads the wall clock is fooled; timers are not.
import { readFileSync } from "node:fs";

const file = process.env.CHAOS_CLOCK;
const RealDate = Date;
let offset = 0;

function read() {
  try {
    offset = Number(readFileSync(file, "utf8")) || 0;
  } catch {
    offset = 0;
  }
}

if (file) {
  read();
  setInterval(read, 100).unref();
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      if (args.length === 0) super(RealDate.now() + offset);
      else super(...args);
    }
    static now() {
      return RealDate.now() + offset;
    }
  };
}
