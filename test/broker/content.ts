import type { MessageInput } from "@sluice/engine";

export const ACCOUNT = "000000000000";

/** A body, or a whole message. */
export type Content = string | MessageInput;
