import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nodeEntry, vmEntry } from "../../../src/spec/compose/guest-schema.ts";
import { networkEntry, volumeDefinition } from "../../../src/spec/compose/network-schema.ts";
import { sandboxEntry } from "../../../src/spec/compose/sandbox-schema.ts";
import { load } from "./load-text.ts";

const guide = readFileSync(join(import.meta.dirname, "../../../docs/compose-file.md"), "utf8");

test("every example of the guide is a sound compose file", () => {
  const examples = [...guide.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = ""]) => load(text));
  assert.deepEqual(
    examples.map((project) => [project.name, project.vms.size, project.nodes.size, project.sandboxes.size]),
    [
      ["shop", 1, 1, 0],
      ["demo", 0, 1, 2],
      ["demo", 0, 1, 0],
      ["demo", 0, 1, 0],
      ["demo", 0, 2, 0],
    ],
  );
});

test("the guide names every key", () => {
  const keys = [vmEntry, nodeEntry, sandboxEntry, networkEntry, volumeDefinition].flatMap((schema) => Object.keys(schema.shape));
  assert.deepEqual(
    keys.filter((key) => !new RegExp(`\`${key}\\b`).test(guide)),
    [],
  );
});
