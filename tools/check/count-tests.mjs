// Closing line of a test run, from vitest's JSON report: `node tools/check/count-tests.mjs <report>`.
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8") || "{}");
const tests = (report.testResults ?? []).flatMap((file) => file.assertionResults);
const count = (status) => tests.filter((test) => test.status === status).length;
// A file that cannot even be loaded has no tests to count, and counts as one that failed.
const broken = (report.testResults ?? []).filter(
  (file) =>
    file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
).length;
const skipped = tests.length - count("passed") - count("failed");
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${count("passed")} passed, ${count("failed") + broken} failed`);
