import { expect, test } from "vitest";
import { complaintOf } from "./complaints.ts";

test("a line that stands for many counts for all of them", () => {
  const line = (more: object) =>
    JSON.stringify({ level: "error", event: "request.failed", err: { message: "no" }, ...more });
  expect(complaintOf("api", line({}))).toMatchObject({ message: "no", count: 1 });
  expect(complaintOf("api", line({ repeated: 569 }))).toMatchObject({ message: "no", count: 569 });
});
