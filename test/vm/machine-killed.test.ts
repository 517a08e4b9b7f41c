import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../src/api/client.ts";
import type { Name } from "../../src/base/names.ts";
import type { Port } from "../../src/base/port.ts";
import type { GuestView } from "../../src/spec/views.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

const name = "vm" as Name;
const params = { name };
const body = {
  name,
  mem: 64,
  networks: [{ network: "one" as Name }, { network: "two" as Name }],
  shares: [{ name: "here" as Name, source: import.meta.dirname, readOnly: true }],
  publish: [{ hostPort: 28490 as Port, guestPort: 80 as Port }],
};
const make = (client: Client) => client.call("vm.create", { body, query: {} });
const remove = (client: Client) => client.call("vm.remove", { params, query: { force: true } });

type Case = {
  what: string;
  /** How much later each kill comes. */
  stepMs: number;
  prepare: (client: Client, vm: GuestView | undefined) => Promise<unknown>;
  request: (client: Client) => Promise<unknown>;
  /** What it may be once all has settled, when the request was answered and when not. */
  answered: (vm: GuestView | undefined) => boolean;
  settled: (vm: GuestView | undefined) => boolean;
};

const runs = (vm: GuestView | undefined) => vm?.state === "running";
const isGone = (vm: GuestView | undefined) => vm === undefined;
const isDown = (vm: GuestView | undefined) => vm?.state === "stopped";

/** `NEXUS_CHAOS_STEP_MS` 2 looks between nearly any two steps, and takes half an hour. */
const stepMs = Number(process.env["NEXUS_CHAOS_STEP_MS"] ?? 50);
const cases: Case[] = [
  {
    what: "creation",
    stepMs,
    prepare: async (client, vm) => vm && (await remove(client)),
    request: make,
    answered: runs,
    settled: (vm) => runs(vm) || isGone(vm),
  },
  {
    what: "stop",
    stepMs,
    prepare: async (client, vm) => (vm === undefined ? await make(client) : await client.call("vm.start", { params })),
    request: (client) => client.call("vm.stop", { params, query: { grace: 0 } }),
    answered: isDown,
    settled: (vm) => runs(vm) || isDown(vm),
  },
  {
    what: "start",
    stepMs,
    prepare: async (client, vm) => (
      vm === undefined ? await make(client) : undefined,
      await client.call("vm.stop", { params, query: { grace: 0 } })
    ),
    request: (client) => client.call("vm.start", { params }),
    answered: runs,
    settled: (vm) => runs(vm) || isDown(vm),
  },
  {
    what: "removal",
    stepMs,
    prepare: async (client, vm) => vm ?? (await make(client)),
    request: remove,
    answered: isGone,
    settled: (vm) => runs(vm) || isGone(vm),
  },
];

describe("the daemon killed in the middle of a virtual machine's", { timeout: 7_200_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    bed = await MachineBed.make();
    for (const network of ["one", "two"]) await bed.client.call("network.create", { body: { name: network, ipv6: network === "one" } });
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });
  const look = async () => (await bed.client.call("guest.list")).find((guest) => guest.name === name);

  for (const { what, stepMs: step, prepare, request, answered, settled } of cases) {
    test(`${what}, every ${step} ms of the way: the one or the other, and nothing is left`, async (t) => {
      let [kills, answers] = [0, 0];
      for (let at = 0; answers < 2; at += step, kills++) {
        await prepare(bed.client, await look());
        let wasAnswered = false;
        const asked = request(bed.client).then(
          () => (wasAnswered = true),
          () => undefined,
        );
        await delay(at);
        await bed.daemon.end("SIGKILL");
        await asked;
        if (wasAnswered) answers++;
        await bed.daemon.start();
        let vm: GuestView | undefined;
        await until(`killed after ${at} ms, it is the one or the other`, async () =>
          (wasAnswered ? answered : settled)((vm = await look())),
        ).catch((error: Error) =>
          assert.fail(`${error.message}: ${JSON.stringify(vm)}\n${bed.daemon.log().split("\n").slice(-20).join("\n")}`),
        );
        await bed.allIsWell();
      }
      t.diagnostic(`${kills} kills`);
      assert.ok(kills > answers, "no kill came in the middle");
    });
  }
});
