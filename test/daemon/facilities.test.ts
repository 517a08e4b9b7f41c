import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { facilitiesOn, facility, facilityName } from "./facility-bed.ts";
import { openState, temporaryDirectory } from "../state/sample.ts";

describe("facilities", { timeout: 60_000 }, () => {
  it("are had by one run at a time, and by the next when it has ended, well or not", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const { facilities } = facilitiesOn(state, directory.path);
    await facility(facilities, "work");
    const work = facilityName("work");
    await facilities.withFacility(work, "run-1", async (held) => {
      assert.deepEqual([held.name, held.epoch], ["work", 1]);
      assert.deepEqual((await facilities.inspect(work)).lock?.run, "run-1");
      await assert.rejects(
        facilities.withFacility(work, "run-2", async () => assert.fail("two runs have it")),
        { code: "in-use", message: "run run-1 has facility work", details: { name: "work", run: "run-1" } },
      );
      await assert.rejects(facilities.remove(work, { force: false }), { code: "in-use" });
      await assert.rejects(facilities.files(work, "write"), { code: "in-use" });
    });
    await assert.rejects(
      facilities.withFacility(work, "run-3", async () => {
        throw new Error("it failed");
      }),
      /it failed/,
    );
    assert.equal((await facilities.inspect(work)).lock, undefined);
    await facilities.withFacility(work, "run-4", async () => undefined);
  });

  it("of many runs at once one has it, and the others are told which", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const { facilities } = facilitiesOn(state, directory.path);
    await facility(facilities, "work");
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const tries = Array.from({ length: 20 }, (_, i) => facilities.withFacility(facilityName("work"), `run-${i}`, () => end));
    const refused = Promise.allSettled(tries.slice(1));
    assert.ok((await refused).every((one) => one.status === "rejected" && /run run-0 has facility work/.test(String(one.reason))));
    resolve();
    await tries[0];
  });

  it("whose lock was broken are no longer the run's that had it: what it still does is refused, and it takes nobody's lock along", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const { facilities, told } = facilitiesOn(state, directory.path);
    await facility(facilities, "work");
    const work = facilityName("work");
    const second = Promise.withResolvers<void>();
    let next: Promise<void> | undefined;
    await facilities.withFacility(work, "late", async (held) => {
      held.check();
      assert.deepEqual(facilities.unlock(work)?.run, "late");
      assert.throws(() => held.check(), { code: "wrong-state" });
      next = facilities.withFacility(work, "next", async () => await second.promise);
      await assert.rejects(held.remember(new AbortController().signal), { code: "wrong-state" });
    });
    assert.equal((await facilities.inspect(work)).lock?.run, "next");
    second.resolve();
    await next;
    assert.deepEqual(told.filter((kind) => kind === "facility.unlocked").length, 1);
    assert.throws(() => facilities.unlock(work), { code: "wrong-state" });
  });

  it("that a daemon had when it was killed are free again once nothing of the run is left, and not before", async () => {
    using directory = temporaryDirectory();
    const child = spawn(process.execPath, [`${import.meta.dirname}/facility-holder.ts`, directory.path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    using state = openState(directory.path);
    const { facilities, told } = facilitiesOn(state, directory.path);
    const work = facilityName("work");
    const held = await facilities.inspect(work);
    assert.equal(held.lock?.run, "run-1");
    await facilities.releaseLost(async () => false);
    assert.equal((await facilities.inspect(work)).lock?.run, "run-1");
    await facilities.releaseLost(async (run) => run === "run-1");
    assert.equal((await facilities.inspect(work)).lock, undefined);
    assert.ok(told.includes("facility.released"));
    await facilities.withFacility(work, "run-2", async ({ epoch }) => assert.ok(epoch > held.epoch));
  });

  it("are there whole or not at all: one that could not be made, and one a crash left half made or removed, is gone", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const { facilities, disks } = facilitiesOn(state, directory.path);
    disks.fails = true;
    await assert.rejects(facility(facilities, "work"), /the disk is broken/);
    assert.deepEqual(await facilities.list(), []);
    assert.deepEqual([...disks.there], []);
    disks.fails = false;
    await facility(facilities, "made");
    await facility(facilities, "half");
    await facility(facilities, "going");
    state.facilities.setState(facilityName("half"), "making");
    state.facilities.setState(facilityName("going"), "leaving");
    await assert.rejects(
      facilities.withFacility(facilityName("half"), "run", async () => undefined),
      { code: "wrong-state" },
    );
    await facilities.sweep();
    assert.deepEqual([(await facilities.list()).map(({ name }) => name), [...disks.there]], [["made"], ["made"]]);
    await assert.rejects(facility(facilities, "made"), { code: "name-taken" });
  });

  it("have an owner of their own each; the number of one that is gone is given again", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const { facilities } = facilitiesOn(state, directory.path);
    const uid = async (name: string) => (await facilities.inspect(facilityName(name))).uid;
    for (const name of ["a", "b", "c"]) await facility(facilities, name);
    assert.deepEqual([await uid("a"), await uid("b"), await uid("c")], [9001, 9002, 9003]);
    await facilities.remove(facilityName("b"), { force: false });
    await facility(facilities, "d");
    assert.equal(await uid("d"), 9002);
  });

  it("go by force after the run that has them has ended", async () => {
    using directory = temporaryDirectory();
    using state = openState(directory.path);
    const end = Promise.withResolvers<void>();
    const ended: string[] = [];
    const { facilities, disks } = facilitiesOn(state, directory.path, async (run) => {
      ended.push(run);
      end.resolve();
    });
    await facility(facilities, "work");
    const run = facilities.withFacility(facilityName("work"), "run-1", () => end.promise);
    await facilities.remove(facilityName("work"), { force: true });
    await run;
    assert.deepEqual([ended, [...disks.there], await facilities.list()], [["run-1"], [], []]);
  });
});
