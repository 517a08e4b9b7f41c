import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { executeAll } from "../../src/apply/execute.ts";
import type { IfName } from "../../src/base/names.ts";
import type { Observed } from "../../src/plan/observed.ts";
import { type Desired, type Plan, plan } from "../../src/plan/plan.ts";
import { namespacesOf } from "../../src/plan/records.ts";
import type { Step } from "../../src/plan/steps.ts";
import { KernelModel } from "./kernel-model.ts";
import { attachment, desired, network, sample } from "./sample.ts";

describe("a plan", () => {
  test("from nothing makes all, and a second one has no steps", () => {
    const wanted = sample();
    const kernel = new KernelModel();
    const first = steps(plan(wanted, kernel.observe(wanted)));
    assert.ok(first.length > 0);
    for (const step of first) kernel.perform(step);
    assert.deepEqual(steps(plan(wanted, kernel.observe(wanted))), []);
  });

  test("of any networks and guests settles at the first go, from nothing and from any other set of them", () => {
    fc.assert(
      fc.property(anyDesired, anyDesired, (before, after) => {
        const kernel = new KernelModel();
        for (const wanted of [before, after]) {
          for (const step of steps(plan(wanted, kernel.observe(wanted)))) kernel.perform(step);
          assert.deepEqual(steps(plan(wanted, kernel.observe(wanted))), []);
          assert.equal(kernel.links.size, wanted.networks.length + wanted.attachments.length);
          assert.deepEqual([...kernel.namespaces.keys()].toSorted(), [...namespacesOf(wanted.attachments)].toSorted());
        }
      }),
      { numRuns: 200 },
    );
  });

  test("that fails at any step leaves the host as it was", () => {
    const wanted = sample();
    const all = steps(plan(wanted, new KernelModel().observe(wanted)));
    for (const k of all.keys()) {
      const kernel = new KernelModel();
      const before = kernel.snapshot();
      assert.throws(() => executeAll(all, failingAt(k, kernel)), /step refused/);
      assert.deepEqual(kernel.snapshot(), before, `after step ${k}, ${all[k]?.kind}, failed`);
    }
  });

  test("that fails while repairing puts links, addresses and settings back as they were", () => {
    const wanted = sample();
    const drifted = (): KernelModel => {
      const kernel = settled(wanted);
      const lan = link(kernel, "nx-lan");
      Object.assign(lan, { mtuBytes: 1300, up: false, group: 0, addresses: ["10.99.0.1/24"], routed: ["10.99.0.0/24"] });
      kernel.sysctls.set("net/ipv4/ip_forward", "0");
      return kernel;
    };
    const all = plan(wanted, drifted().observe(wanted)).networks;
    assert.ok(all.length >= 4);
    for (const k of all.keys()) {
      const kernel = drifted();
      assert.throws(() => executeAll(all, failingAt(k, kernel)), /step refused/);
      const sorted = (model: KernelModel) => (link(model, "nx-lan").addresses.sort(), model.snapshot());
      assert.deepEqual(sorted(kernel), sorted(drifted()), `after step ${k}, ${all[k]?.kind}, failed`);
    }
  });

  test("cut short after any step is completed by the next", () => {
    const wanted = sample();
    const all = steps(plan(wanted, new KernelModel().observe(wanted)));
    const whole = settled(wanted).snapshot();
    for (const k of all.keys()) {
      const kernel = new KernelModel();
      for (const step of all.slice(0, k)) kernel.perform(step);
      const rest = steps(plan(wanted, kernel.observe(wanted)));
      for (const step of rest) kernel.perform(step);
      assert.deepEqual(kernel.snapshot(), whole, `cut after ${k} steps`);
    }
  });

  test("of half a removal completes it", () => {
    const wanted = sample();
    const none = desired({});
    const all = steps(plan(none, settled(wanted).observe(none)));
    for (const k of all.keys()) {
      const kernel = settled(wanted);
      for (const step of all.slice(0, k)) kernel.perform(step);
      for (const step of steps(plan(none, kernel.observe(none)))) kernel.perform(step);
      assert.deepEqual([kernel.links.size, kernel.namespaces.size], [0, 0], `cut after ${k} steps`);
    }
  });

  test("makes settings and bridges before guests, namespaces before what is in them, and addresses after IPv6 is on", () => {
    const kinds = steps(plan(sample(), new KernelModel().observe(sample()))).map((s) => s.kind);
    const last = (kind: Step["kind"]) => kinds.lastIndexOf(kind);
    assert.ok(last("add-address") < kinds.indexOf("create-namespace"));
    assert.ok(kinds.indexOf("create-namespace") < kinds.indexOf("create-veth"));
    assert.equal(kinds.filter((kind) => kind === "create-namespace").length, 4, "one for each guest, however many NICs it has");
    assert.equal(kinds[0], "set-sysctl");
  });
});

describe("what is not ours", () => {
  const foreign = (name: string, kind: string, more: Partial<Observed["links"] extends Map<IfName, infer L> ? L : never> = {}) => ({
    name: name as IfName,
    index: 77,
    kind,
    mac: undefined,
    mtuBytes: 1500,
    group: 0,
    up: true,
    master: undefined,
    altNames: [],
    port: undefined,
    addresses: [],
    routed: [],
    ...more,
  });

  test("is in no plan, whatever it is called", () => {
    const wanted = sample();
    const kernel = settled(wanted);
    for (const link of [
      foreign("nx-other", "bridge"),
      foreign("nabc-web", "veth", { master: "nx-lan" as IfName }),
      foreign("docker0", "bridge"),
      foreign("n1", "veth", { altNames: ["nexus-not"] }),
    ])
      kernel.links.set(link.name, link);
    kernel.namespaces.set("nexus-theirs", { loopbackUp: true, links: new Map() });
    kernel.namespaces.set("cni-1234", { loopbackUp: true, links: new Map() });
    assert.deepEqual(steps(plan(wanted, kernel.observe(wanted))), []);
    assert.deepEqual(
      mentioned(plan(desired({}), kernel.observe(desired({})))).filter((name) =>
        ["nx-other", "nabc-web", "docker0", "n1", "nexus-theirs", "cni-1234"].includes(name),
      ),
      [],
    );
  });

  test("is left over only with both marks: the group and the name", () => {
    const none = desired({});
    const half = [
      foreign("only-group", "veth", { group: 0x4e000009 }),
      foreign("only-name", "bridge", { altNames: ["nexus:lan"] }),
      foreign("group-zero", "bridge", { group: 0x4e000000, altNames: ["nexus:lan"] }),
      foreign("next-group", "bridge", { group: 0x4f000001, altNames: ["nexus:lan"] }),
    ];
    const whole = foreign("both", "veth", { group: 0x4e000009, altNames: ["something", "nexus:lan:web:0:both"] });
    const kernel = new KernelModel();
    for (const link of [...half, whole]) kernel.links.set(link.name, link);
    assert.deepEqual(mentioned(plan(none, kernel.observe(none))), ["both"]);
  });

  test("in the place of a bridge blocks its network, says so, and leaves the others to be made", () => {
    const wanted = sample();
    for (const link of [foreign("nx-lan", "bridge"), foreign("nx-lan", "veth", { group: 0x4e000001, altNames: ["nexus:lan"] })]) {
      const kernel = new KernelModel();
      kernel.links.set(link.name, link);
      const result = plan(wanted, kernel.observe(wanted));
      assert.deepEqual(
        result.blocked.map((b) => b.network),
        ["lan"],
      );
      assert.match(result.blocked[0]?.problem ?? "", /nx-lan exists and is not ours/);
      for (const step of steps(result)) kernel.perform(step);
      assert.deepEqual(kernel.links.get("nx-lan" as IfName), link);
      assert.ok(kernel.links.has("nx-dmz" as IfName));
      assert.deepEqual(steps(plan(wanted, kernel.observe(wanted))), []);
    }
  });

  test("in the place of a guest's interface is left alone, and said", () => {
    const wanted = sample();
    const name = wanted.attachments[0]?.hostInterface ?? assert.fail();
    const kernel = new KernelModel();
    kernel.links.set(name, foreign(name, "veth"));
    const result = plan(wanted, kernel.observe(wanted));
    assert.match(result.blocked[0]?.problem ?? "", new RegExp(`${name} exists and is not ours`));
    assert.equal(mentioned(result).includes(name), false);
  });
});

const anyDesired: fc.Arbitrary<Desired> = fc
  .record({
    networks: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 0, maxLength: 4 }),
    flags: fc.array(
      fc.record({
        v4: fc.boolean(),
        v6: fc.boolean(),
        internal: fc.boolean(),
        apart: fc.boolean(),
        mtu: fc.constantFrom("auto" as const, 1400, 9000),
      }),
      { minLength: 4, maxLength: 4 },
    ),
    guests: fc.array(fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 2 }), { maxLength: 5 }),
  })
  .map(({ networks: indexes, flags, guests }) => {
    const networks = indexes.map((index, i) => {
      const flag = flags[i] ?? assert.fail();
      const subnets = [...(flag.v4 || !flag.v6 ? [`10.${index}.0.0/24`] : []), ...(flag.v6 ? [`fd00:${index}::/64`] : [])];
      return network(index, `net${index}`, { subnets, internal: flag.internal, isolation: flag.apart ? "guests" : "none", mtu: flag.mtu });
    });
    const attachments = guests.flatMap((on, g) =>
      on.flatMap((n, nic) => (networks[n] === undefined ? [] : [attachment(`guest${g}`, networks[n], { nic, host: 10 + g })])),
    );
    return desired({ networks, attachments });
  });

function steps({ networks, attachments, leftovers }: Plan): Step[] {
  return [...networks, ...attachments, ...leftovers];
}

function settled(wanted: Desired): KernelModel {
  const kernel = new KernelModel();
  for (const step of steps(plan(wanted, kernel.observe(wanted)))) kernel.perform(step);
  return kernel;
}

/** Does steps until the k-th, which it refuses; undoing is done without fail. */
function failingAt(k: number, kernel: KernelModel): (step: Step) => void {
  let count = 0;
  return (step) => {
    if (count++ === k) throw new Error("step refused");
    kernel.perform(step);
  };
}

/** Names of links and namespaces that any step touches. */
function mentioned(result: Plan): string[] {
  return steps(result).flatMap((step) => ("name" in step ? [step.name] : "link" in step ? [step.link] : []));
}

function link(kernel: KernelModel, name: string) {
  return kernel.links.get(name as IfName) ?? assert.fail(name);
}
