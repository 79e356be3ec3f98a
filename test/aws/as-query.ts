type Input = Readonly<Record<string, unknown>>;

/**
 * An input of SQS' JSON protocol as the parameters of its Query protocol, which names lists and maps by their entries.
 */
export function sqsQuery(input: Input): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(input)) addSqs(result, name, value);
  return result;
}

/** An input as AWS' SDK takes it as the parameters of SNS, which wraps what is in lists and maps. */
export function snsQuery(input: Input): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(input)) addSns(result, name, value);
  return result;
}

const lists: Record<string, string> = {
  AttributeNames: "AttributeName",
  AWSAccountIds: "AWSAccountId",
  Actions: "ActionName",
  TagKeys: "TagKey",
};
const maps: Record<string, [string, string]> = {
  Attributes: ["Attribute", "Name"],
  MessageAttributes: ["MessageAttribute", "Name"],
  MessageSystemAttributes: ["MessageSystemAttribute", "Name"],
  Tags: ["Tag", "Key"],
  tags: ["Tag", "Key"],
};

function addSqs(result: Record<string, string>, path: string, value: unknown): void {
  const name = path.split(".").at(-1)!;
  const map = maps[name];
  if (Array.isArray(value)) {
    value.forEach((each, index) => addSqs(result, `${lists[name] ?? path}.${index + 1}`, each));
  } else if (typeof value === "object" && value !== null && map) {
    Object.entries(value).forEach(([key, each], index) => {
      result[`${map[0]}.${index + 1}.${map[1]}`] = key;
      addSqs(result, `${map[0]}.${index + 1}.Value`, each);
    });
  } else if (typeof value === "object" && value !== null) {
    for (const [key, each] of Object.entries(value)) addSqs(result, `${path}.${key}`, each);
  } else {
    result[path] = String(value);
  }
}

function addSns(result: Record<string, string>, path: string, value: unknown): void {
  if (Array.isArray(value)) {
    value.forEach((each, index) => addSns(result, `${path}.member.${index + 1}`, each));
  } else if (typeof value === "object" && value !== null) {
    for (const [key, each] of Object.entries(value)) addSns(result, `${path}.${key}`, each);
  } else {
    result[path] = String(value);
  }
}
