export { openDatabase } from "./open-database.ts";
export { joinNats } from "./join-nats.ts";
export { openApi } from "./open-api.ts";
export { openDispatcher } from "./open-dispatcher.ts";
export { warnOfOthers } from "./warn-of-others.ts";
