import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonSchemas } from "../../../src/spec/schemas.ts";

type Schema = {
  properties: Record<string, Schema>;
  additionalProperties: Schema;
  patternProperties: object;
  anyOf: Schema[];
  type: string;
};

const { compose } = jsonSchemas() as unknown as { compose: Schema };

test("the JSON Schema of a compose file has every group, both names of a key, and x- keys anywhere", () => {
  assert.deepEqual(Object.keys(compose.properties), ["name", "vms", "nodes", "sandboxes", "networks", "volumes"]);
  const vm = compose.properties["vms"]?.additionalProperties;
  assert.deepEqual(vm?.properties["mem"], vm?.properties["memory"]);
  assert.deepEqual(vm?.properties["cpu"], vm?.properties["cpus"]);
  assert.notDeepEqual(
    compose.properties["nodes"]?.additionalProperties.properties["cpu"],
    vm?.properties["cpus"],
    "a node's cpu is a weight",
  );
  assert.deepEqual(compose.patternProperties, { "^x-": {} });
  assert.deepEqual(vm?.patternProperties, { "^x-": {} });
});

test("the JSON Schema takes the lists that stand for mappings, and single values that stand for lists", () => {
  const node = compose.properties["nodes"]?.additionalProperties.properties ?? {};
  for (const key of ["environment", "labels", "depends_on", "networks", "dns", "env_file"]) assert.equal(node[key]?.anyOf.length, 2, key);
  assert.deepEqual(node["environment"], node["env"]);
  assert.equal(JSON.stringify(compose).includes('"required":["image"]'), false, "an image has a default");
});

test("there are JSON Schemas of everything users write", () => {
  assert.deepEqual(Object.keys(jsonSchemas()), ["network", "node", "vm", "config", "compose"]);
});
