import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { executeAll } from "../../src/apply/execute.ts";
import type { Mac } from "../../src/base/mac.ts";
import type { IfName } from "../../src/base/names.ts";
import { planAttachment } from "../../src/plan/attachment.ts";
import { type Desired, plan } from "../../src/plan/plan.ts";
import { type Step, undoOf } from "../../src/plan/steps.ts";
import { KernelModel } from "./kernel-model.ts";
import { attachment, desired, network } from "./sample.ts";

const lan = network(1, "lan", { subnets: ["10.7.0.0/24"], isolation: "guests", mtu: 1400 });
const back = network(2, "back", { subnets: ["10.8.0.0/24"] });
const [web, second] = [lan, back].map((on, nic) => ({
  ...attachment("web", on, { nic, host: 10 }),
  end: { kind: "tap" as const, queues: nic === 0 ? 4 : 1 },
})) as [Desired["attachments"][0], Desired["attachments"][0]];
const wanted = desired({ networks: [lan, back], attachments: [web, second] });
const tap = web.hostInterface;

/** A host on which the virtual machine was started. */
function started(): KernelModel {
  const kernel = new KernelModel();
  for (const step of plan(desired({ networks: [lan, back] }), kernel.observe(wanted)).networks) kernel.perform(step);
  for (const step of making(kernel)) kernel.perform(step);
  return kernel;
}
const making = (kernel: KernelModel): Step[] =>
  [web, second].flatMap((one, nic) =>
    planAttachment({ attachment: one, network: nic === 0 ? lan : back, primary: nic === 0, peers: [] }, kernel.observe(wanted)),
  );
const repairs = (kernel: KernelModel, more = {}): Step[] => {
  const { networks, attachments, leftovers } = plan(wanted, kernel.observe(wanted, more));
  return [...networks, ...attachments, ...leftovers];
};

describe("a virtual machine's taps", () => {
  test("are made with its queues, on their bridges, marked as ours, and nothing is left to do then", () => {
    const steps = making(new KernelModel());
    assert.deepEqual(
      steps.map((step) => (step.kind === "create-tap" ? [step.queues, step.master, step.mtuBytes, step.group, step.isolated] : step.kind)),
      [
        [4, "nx-lan", 1400, 0x4e000001, true],
        [1, "nx-back", 1500, 0x4e000002, false],
      ],
    );
    assert.deepEqual(repairs(started()), []);
  });

  test("that cannot all be made leave none behind", () => {
    const kernel = started();
    for (const name of [tap, second.hostInterface]) kernel.links.delete(name);
    const before = kernel.snapshot();
    const steps = making(kernel);
    for (const k of steps.keys()) {
      let done = 0;
      const failing = (step: Step) => {
        if (done++ === k) throw new Error("refused");
        kernel.perform(step);
      };
      assert.throws(() => executeAll(steps, failing), /refused/);
      assert.deepEqual(kernel.snapshot(), before);
    }
    assert.deepEqual(
      steps.flatMap(undoOf).map((step) => step.kind),
      ["delete-link", "delete-link"],
    );
  });

  const drifts: [string, (link: ReturnType<typeof linkOf>) => void][] = [
    ["taken down", (link) => (link.up = false)],
    ["of another MTU", (link) => (link.mtuBytes = 1280)],
    ["of another MAC", (link) => (link.mac = "02:00:00:00:00:99" as Mac)],
    ["in no group", (link) => (link.group = 0)],
    ["off its bridge", (link) => Object.assign(link, { master: undefined, port: undefined })],
    ["not isolated", (link) => (link.port = { isolated: false, hairpin: true, judged: true })],
    ["without its mark", (link) => (link.altNames = [])],
  ];
  for (const [what, drift] of drifts)
    test(`${what} are mended where they are, not made anew`, () => {
      const kernel = started();
      drift(linkOf(kernel, tap));
      const steps = repairs(kernel);
      assert.ok(steps.length > 0 && steps.every((step) => !["create-tap", "delete-link"].includes(step.kind)), JSON.stringify(steps));
      for (const step of steps) kernel.perform(step);
      assert.deepEqual(repairs(kernel), []);
      assert.deepEqual({ ...linkOf(kernel, tap), index: 0 }, { ...linkOf(started(), tap), index: 0 });
    });

  test("that are gone are made by nobody but the process that has their queues open, with those", () => {
    const kernel = started();
    kernel.links.delete(tap);
    assert.deepEqual(repairs(kernel), []);
    const holder = { pid: 4242, fds: [3, 4, 5, 6] };
    const steps = repairs(kernel, { tapHolders: new Map([[tap, holder]]) });
    assert.deepEqual(
      steps.map((step) => (step.kind === "create-tap" ? [step.name, step.queues, step.holder] : step.kind)),
      [[tap, 4, holder]],
    );
    for (const step of steps) kernel.perform(step);
    assert.deepEqual(repairs(kernel, { tapHolders: new Map([[tap, holder]]) }), []);
  });

  test("that were given another name come back under theirs", () => {
    const kernel = started();
    const link = linkOf(kernel, tap);
    kernel.links.delete(tap);
    kernel.links.set("stray" as IfName, { ...link, name: "stray" as IfName });
    const steps = repairs(kernel, { tapHolders: new Map([[tap, { pid: 4242, fds: [3, 4, 5, 6] }]]) });
    for (const step of steps) kernel.perform(step);
    assert.deepEqual([kernel.links.has(tap), kernel.links.has("stray" as IfName)], [true, false]);
  });

  test("of one that should not run are left over", () => {
    const kernel = started();
    const none = desired({ networks: [lan, back] });
    const { leftovers } = plan(none, kernel.observe(none));
    assert.deepEqual(new Set(leftovers.map((step) => step.kind === "delete-link" && step.name)), new Set([tap, second.hostInterface]));
  });
});

function linkOf(kernel: KernelModel, name: IfName) {
  return kernel.links.get(name) ?? assert.fail(name);
}
