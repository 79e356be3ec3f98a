// What @sluice/producer and @sluice/consumer are built from. Not public: it changes without notice.
export { queuePath } from "./admin/paths.ts";
export { assertDeclared, queueName } from "./declarations.ts";
export { topicPath } from "./admin/topics.ts";
export { entryError, listOf } from "./answer.ts";
export { decodeAttributes, encodeAttributes } from "./attributes.ts";
export { callBack } from "./call-back.ts";
export { Coalescer } from "./coalescer.ts";
export { onAbort } from "./on-abort.ts";
export { invalidOption, refuseUnknown } from "./options.ts";
export type { OptionNames } from "./options.ts";
export { pause } from "./pause.ts";
export { isPromise, locateMismatch } from "./payload.ts";
export { fullJitter } from "./retry.ts";
export { stopController } from "./stop-signal.ts";
export { startTimer } from "./timer.ts";
