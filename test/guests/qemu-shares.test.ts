import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import type { Mac } from "../../src/base/mac.ts";
import { NexusError } from "../../src/base/errors.ts";
import type { VmImage } from "../../src/guests/qemu-image.ts";
import { qemuLayout } from "../../src/guests/qemu-layout.ts";
import type { VmPlan } from "../../src/guests/qemu-plan.ts";
import { chooseShareType, openShares, readShareType } from "../../src/guests/qemu-shares.ts";
import { type Virtiofsd, virtiofsdWords } from "../../src/guests/virtiofsd.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";

const usable: Virtiofsd = { kind: "usable", path: "/virtiofsd", words: "qemu" };
const unusable: Virtiofsd = { kind: "unusable", why: "it is not there", hint: "install it" };
const mini: VmImage = { reference: "mini", key: "k", shareType: "virtiofs" };
const debian: VmImage = { reference: "debian-12", key: "d", disk: { path: "/d", format: "qcow2" } };

describe("how a virtual machine gets directories of the host", () => {
  let directory: string;
  before(() => void (directory = mkdtempSync(join(tmpdir(), "nexus-shares-"))));
  after(() => rmSync(directory, { recursive: true, force: true }));
  beforeEach(() => {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(join(directory, "guest"), { recursive: true });
  });

  const layout = () => qemuLayout(join(directory, "guest"));
  const planOf = (more: Omit<VmSpecInput, "name"> = {}): VmPlan => {
    const spec = vmSpec.parse({ name: "web", shares: [{ name: "src", source: directory }], ...more });
    const where = { directory: layout().directory, hostname: "web", userMac: "02:00:00:00:00:09" as Mac };
    return { id: "1", name: spec.name, spec, nics: [], nameservers: [], searchDomains: [], ...where };
  };
  const choose = async (image: VmImage, virtiofsd: Virtiofsd, spec: Omit<VmSpecInput, "name"> = {}) => {
    await chooseShareType(planOf(spec), { layout: layout(), image }, () => Promise.resolve(virtiofsd));
    return readShareType(layout());
  };
  const refused = (code: string, words: RegExp) => (error: unknown) =>
    error instanceof NexusError && error.code === code && words.test(`${error.message}. ${error.hint}`);

  it("is virtiofs where that works, and 9p elsewhere, unless its kernel has but one of them", async () => {
    assert.equal(await choose(debian, unusable), "9p");
    rmSync(layout().shareType);
    assert.equal(await choose(debian, usable), "virtiofs");
    rmSync(layout().shareType);
    await assert.rejects(
      choose(mini, unusable),
      refused("unsupported", /kernel of mini .* virtiofs alone, and it is not there\. .*debian-12/),
    );
    await assert.rejects(
      choose(mini, usable, { machine: "microvm" }),
      refused("unsupported", /a microvm cannot have it\. use machine q35/),
    );
    assert.equal(await choose(mini, usable), "virtiofs");
    rmSync(layout().shareType);
    assert.equal(await choose(mini, unusable, { kernel: "/vmlinuz" }), "9p", "nobody knows what another kernel has");
  });

  it("stays as it was first, for a disk was set up with it", async () => {
    writeFileSync(layout().disk, "");
    assert.equal(await choose(debian, usable), "9p", "one made before there was virtiofs");
    writeFileSync(layout().shareType, "virtiofs");
    assert.equal(await choose(debian, usable), "virtiofs");
    await assert.rejects(
      choose(debian, unusable),
      refused("unsupported", /web was set up with virtiofs, and it is not there\. install it/),
    );
  });

  it("is no matter for one that has none; a directory has to be one", async () => {
    const never = () => Promise.reject(new Error("asked for nothing"));
    await chooseShareType(planOf({ shares: [] }), { layout: layout(), image: mini }, never);
    writeFileSync(join(directory, "file"), "");
    const at = (name: string) => ({ shares: [{ name: "src", source: join(directory, name) }] });
    await assert.rejects(choose(debian, usable, at("file")), refused("wrong-state", /share src: .* is no directory/));
    await assert.rejects(choose(debian, usable, at("gone")), refused("not-found", /share src: there is no directory/));
  });

  it("by connections that leave nothing behind, however long the directory's name", () => {
    const long = qemuLayout(join(directory, "g".repeat(120)));
    mkdirSync(long.directory);
    using shares = openShares({ ...planOf(), directory: long.directory }, long, usable);
    assert.equal(shares.fds.length, 1);
    assert.deepEqual(readdirSync(long.directory), []);
    using none = openShares(planOf(), layout(), undefined);
    assert.deepEqual(none.fds, []);
  });

  it("by a virtiofsd that shuts itself in and makes no devices; a comma in a path is no new option", () => {
    assert.deepEqual(
      virtiofsdWords("qemu", "/a,b\\c").filter((word) => !/^-[of]$/.test(word)),
      ["--fd=3", "source=/a\\,b\\\\c", "sandbox=namespace", "modcaps=-mknod:-setfcap", "no_xattr", "cache=auto", "log_level=err"],
    );
    assert.deepEqual(virtiofsdWords("rust", "/a,b").slice(1, 5), [
      "--shared-dir=/a,b",
      "--sandbox=namespace",
      "--seccomp=kill",
      "--modcaps=-mknod:-setfcap",
    ]);
  });
});
