import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import type { Ip } from "../../../src/base/ip.ts";
import { parsePort } from "../../../src/base/port.ts";
import { connectFirst } from "../../../src/services/egress/connect.ts";

const port = parsePort(443) ?? assert.fail();
const ips = (...texts: string[]) => texts as Ip[];

/** Addresses that take a connection after so many milliseconds, refuse it, or say nothing. */
function world(fates: Record<string, number | "refuses" | "silent">): {
  dialled: string[];
  sockets: Socket[];
  dial: (to: { address: Ip }) => Socket;
} {
  const dialled: string[] = [];
  const sockets: Socket[] = [];
  const dial = ({ address }: { address: Ip }) => {
    dialled.push(address);
    const socket = new Socket();
    sockets.push(socket);
    const fate = fates[address] ?? "refuses";
    if (fate === "refuses") setImmediate(() => socket.destroy(Object.assign(new Error(), { code: "ECONNREFUSED" })));
    else if (fate !== "silent") setTimeout(() => socket.destroyed || socket.emit("connect"), fate);
    return socket;
  };
  return { dialled, sockets, dial };
}

const never = new AbortController().signal;

test("families take turns, and a refusal is followed by the next at once", async () => {
  const w = world({ "93.184.216.2": 0 });
  const result = await connectFirst(ips("93.184.216.1", "93.184.216.2", "2606::1", "2606::2"), port, {
    dial: w.dial,
    deadlineMs: 5000,
    signal: never,
  });
  assert.deepEqual(w.dialled, ["2606::1", "93.184.216.1", "2606::2", "93.184.216.2"]);
  assert.equal(result.kind === "connected" && result.address, "93.184.216.2");
});

test("an address that is silent does not keep the next from being tried, and the late ones are closed", async () => {
  const w = world({ "2606::1": "silent", "93.184.216.1": 1 });
  const result = await connectFirst(ips("2606::1", "93.184.216.1", "93.184.216.9"), port, {
    dial: w.dial,
    deadlineMs: 5000,
    signal: never,
  });
  assert.equal(result.kind === "connected" && result.address, "93.184.216.1");
  assert.deepEqual(w.dialled, ["2606::1", "93.184.216.1"]);
  assert.equal(w.sockets[0]?.destroyed, true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(w.dialled, ["2606::1", "93.184.216.1"], "no further one is tried when one has won");
});

test("nobody there, nobody in time, and not wanted any more are told apart", async () => {
  const w = world({ "93.184.216.9": "silent" });
  assert.deepEqual(await connectFirst(ips("93.184.216.1"), port, { dial: w.dial, deadlineMs: 5000, signal: never }), {
    kind: "failed",
    code: "ECONNREFUSED",
  });
  assert.deepEqual(await connectFirst(ips("93.184.216.9"), port, { dial: w.dial, deadlineMs: 30, signal: never }), {
    kind: "failed",
    code: "ETIMEDOUT",
  });
  const stop = new AbortController();
  const waiting = connectFirst(ips("93.184.216.9"), port, { dial: w.dial, deadlineMs: 5000, signal: stop.signal });
  stop.abort();
  assert.deepEqual(await waiting, { kind: "failed", code: "ECANCELED" });
  assert.ok(w.sockets.every((socket) => socket.destroyed));
});

test("of many addresses only some are tried", async () => {
  const w = world({});
  await connectFirst(ips(...Array.from({ length: 30 }, (_, i) => `93.184.216.${i}`)), port, {
    dial: w.dial,
    deadlineMs: 5000,
    signal: never,
  });
  assert.equal(w.dialled.length, 8);
});
