import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { IfName } from "../../src/base/names.ts";
import { explain } from "../../src/plan/explain.ts";
import type { Step } from "../../src/plan/steps.ts";
import { sampleSteps } from "./sample-steps.ts";

const golden = join(import.meta.dirname, "../golden/plan-lines.txt");

/** These lines are run for real by test/kernel/plan-explain.test.ts, which is what makes them true. `UPDATE_GOLDEN=1` writes them anew. */
test("a plan from nothing reads as these ip, sysctl and nft lines", () => {
  const lines = `${sampleSteps().flatMap(explain).join("\n")}\n`;
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, lines);
  assert.equal(lines, readFileSync(golden, "utf8"));
});

test("every other step reads as the command that would do it", () => {
  const name = "nabc-web" as IfName;
  const cases: [Step, string[]][] = [
    [
      { kind: "change-link", name, change: { mtuBytes: 1400, up: false, master: "nx-lan" as IfName, group: 5 }, was: {} },
      ["ip link set dev nabc-web mtu 1400 group 5 master nx-lan down"],
    ],
    [{ kind: "delete-link", name, why: "no longer wanted" }, ["ip link delete dev nabc-web  # no longer wanted"]],
    [
      { kind: "set-port", link: name, isolated: true, hairpin: false },
      [
        "bridge link set dev nabc-web hairpin off isolated on learning on flood on mcast_flood on bcast_flood on neigh_suppress off",
        "ip link set dev nabc-web type bridge_slave group_fwd_mask 0xfffd",
      ],
    ],
    [{ kind: "create-namespace", name: "nexus-web", ofPid: 42 }, ["ip netns attach nexus-web 42"]],
    [{ kind: "remove-namespace", name: "nexus-web" }, ["ip netns delete nexus-web"]],
    [
      { kind: "set-sysctl", path: ["net", "ipv4", "conf", "br.5", "rp_filter"], value: "2", was: "1" },
      ["sysctl -w net.ipv4.conf.br/5.rp_filter=2  # was 1"],
    ],
    [
      { kind: "forget-connections", protocol: "udp", hostAddress: undefined, from: 53 as never, to: 53 as never },
      ["conntrack -D -p udp --orig-port-dst 53"],
    ],
  ];
  for (const [step, lines] of cases) assert.deepEqual(explain(step), lines);
});
