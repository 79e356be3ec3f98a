import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { selectNemeses } from "../nemeses/nemeses.ts";
import { builtFile, mutated } from "./mutated-copy.ts";
import { mutants } from "./mutants.ts";

const project = new URL("../../../../", import.meta.url);

test.each(mutants)("$name: $what", (mutant) => {
  const built = readFileSync(fileURLToPath(new URL(builtFile(mutant), project)), "utf8");
  expect(mutated(mutant, built)).not.toBe(built);
  expect(() => selectNemeses(mutant.nemeses.split(","))).not.toThrow();
});

test("a mutant that changes nothing any more is an error", () => {
  const [mutant] = mutants;
  expect(() => mutated(mutant!, "")).toThrow("there is no");
});
