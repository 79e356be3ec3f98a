export { compile, type CompiledFilter, type FilterScope, type Refusal } from "./compile.ts";
export { FilterPolicyError } from "./filter-policy-error.ts";
export { FilteredMessage, type FilterableMessage } from "./filtered-message.ts";
