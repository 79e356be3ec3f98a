export { reset } from "./reset.ts";
export { start } from "./start.ts";
