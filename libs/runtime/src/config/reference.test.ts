import { expect, test } from "vitest";
import { apiConfig, dispatcherConfig, standaloneConfig } from "./processes.ts";
import { configReference } from "./reference.ts";

const page = `# Configuration

Every process ([how to start them](operation.md)) reads its configuration from the environment, once, at its start. When
a variable is missing or wrong the process does not start: it says in one line which variable it was, what it expected
and what came, and exits with code 78. An empty variable counts as unset.

${configReference({ api: apiConfig, dispatcher: dispatcherConfig, standalone: standaloneConfig })}

This page is written from \`libs/runtime/src/config/\`; after a change there, \`npx vitest run libs/runtime -u\` writes it
anew.
`;

test("docs/configuration.md tells every variable as the code reads it", async () => {
  await expect(page).toMatchFileSnapshot("../../../../docs/configuration.md");
});
