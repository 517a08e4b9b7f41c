import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { Host } from "../../src/apply/host.ts";
import { observe } from "../../src/apply/observe.ts";
import { run } from "./iproute.ts";

const dormant = ["nexus-bare", "nexus-lived-in", "nexus-touched", "nexus-linked"];

test("of namespaces that bear a stopped guest's name, only those are ours that hold a link of ours or in which nothing has happened", () => {
  for (const name of [...dormant, "nexus-unknown"]) run(`ip netns add ${name}`);
  run("ip -n nexus-touched link set lo up");
  run("ip -n nexus-linked link add x group 1308622849 type veth peer name y");
  const inside = spawn("ip", ["netns", "exec", "nexus-lived-in", "sleep", "60"], { stdio: "ignore" });
  try {
    using host = Host.open();
    const proven = () => {
      const seen = observe(host, {
        networks: [],
        attachments: [],
        dormant,
        guestSides: new Map(),
        residents: new Map(),
        tapHolders: new Map(),
      });
      return [...seen.provenNamespaces].toSorted();
    };
    // The process needs a moment to arrive.
    const deadline = Date.now() + 5000;
    while (proven().includes("nexus-lived-in") && Date.now() < deadline);
    assert.deepEqual(proven(), ["nexus-bare", "nexus-linked"]);
  } finally {
    inside.kill("SIGKILL");
  }
});
