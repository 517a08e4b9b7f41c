import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Name } from "../../src/base/names.ts";
import type { Port } from "../../src/base/port.ts";
import { type Surroundings, surroundingsOf } from "./audit.ts";
import * as host from "./host.ts";
import { Nexusd } from "./nexusd.ts";
import { sweep, type Swept } from "./sweep.ts";

/** How much later each kill comes; 0.1 ms goes between any two steps, and takes an hour. */
const stepMs = Number(process.env["NEXUS_CHAOS_STEP_MS"] ?? 2);
const suffix = (Date.now() % 1_000_000).toString(36);
const attachment = `a${suffix}` as Name;
const node = `c${suffix}` as Name;
const networks = [{ network: "one" as Name }, { network: "two" as Name }];
const publish = [
  { protocol: "tcp" as const, hostPort: 28480 as Port, guestPort: 80 as Port },
  { protocol: "udp" as const, hostPort: 28481 as Port, hostPortEnd: 28484 as Port, guestPort: 28481 as Port },
];

const makeAttachment: Swept["request"] = (client) => client.call("attachment.create", { body: { name: attachment, networks, publish } });
const removeAttachment: Swept["request"] = (client) => client.call("attachment.remove", { params: { name: attachment } });
const makeNode: Swept["request"] = (client) =>
  client.call("node.create", { query: {}, body: { name: node, command: ["sleep", "100000"], mem: 32, networks, publish: [] } });
const removeNode: Swept["request"] = (client) => client.call("node.remove", { params: { name: node }, query: { force: true } });

const cases: { what: string; swept: Swept; wantedWhenAnswered: boolean; stepMs: number }[] = [
  {
    what: "an attachment's creation",
    swept: { name: attachment, prepare: async (client, there) => there && (await removeAttachment(client)), request: makeAttachment },
    wantedWhenAnswered: true,
    stepMs: stepMs / 4,
  },
  {
    what: "an attachment's removal",
    swept: { name: attachment, prepare: async (client, there) => there || (await makeAttachment(client)), request: removeAttachment },
    wantedWhenAnswered: false,
    stepMs: stepMs / 4,
  },
  {
    what: "a node's creation",
    swept: { name: node, prepare: async (client, there) => there && (await removeNode(client)), request: makeNode },
    wantedWhenAnswered: true,
    stepMs: stepMs * 4,
  },
  {
    what: "a node's removal",
    swept: { name: node, prepare: async (client, there) => there || (await makeNode(client)), request: removeNode },
    wantedWhenAnswered: false,
    stepMs: stepMs * 4,
  },
];

describe("killed in the middle", { timeout: 7_200_000 }, () => {
  let daemon: Nexusd;
  let around: Surroundings;
  before(async () => {
    await host.sh("ip", "link", "set", "lo", "up");
    around = surroundingsOf(await host.linksOf(), await host.routesOf(), await host.ruleset());
    daemon = await Nexusd.started();
    for (const name of ["one", "two"]) await daemon.client.call("network.create", { body: { name, ipv6: name === "one" } });
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  for (const { what, swept, wantedWhenAnswered, stepMs: step } of cases) {
    test(`${what}, killed every ${step} ms of the way: wholly there or not at all`, async (t) => {
      const { faults, ...figures } = await sweep(daemon, swept, { around, stepMs: step, wantedWhenAnswered });
      t.diagnostic(JSON.stringify(figures));
      assert.deepEqual(faults, []);
      assert.ok(figures.unanswered > 0, "no kill came in the middle");
    });
  }
});
