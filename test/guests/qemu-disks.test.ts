import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import type { Mac } from "../../src/base/mac.ts";
import { prepareDisks } from "../../src/guests/qemu-disks.ts";
import { qemuLayout } from "../../src/guests/qemu-layout.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";

describe("further disks of a virtual machine", { timeout: 60_000 }, () => {
  let directory: string;
  const at = (name: string): string => join(directory, name);
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "nexus-disks-"));
    mkdirSync(at("guest"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const prepare = (disk: NonNullable<VmSpecInput["disks"]>[number]) => {
    const spec = vmSpec.parse({ name: "web", disks: [disk] });
    const where = { directory: at("guest"), hostname: "web", userMac: "02:00:00:00:00:09" as Mac };
    const plan = { id: "1", name: spec.name, spec, nics: [], nameservers: [], searchDomains: [], ...where };
    return prepareDisks("qemu-img", plan, { layout: qemuLayout(at("guest")), image: { reference: "mini", key: "k" } });
  };
  const create = (...words: string[]) => execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", ...words]);

  it("are made when absent, and taken as they are when whole", async () => {
    const [made] = await prepare({ name: "data", source: at("data"), size: "1M" });
    assert.deepEqual(made, { name: "data", path: at("data"), format: "qcow2", readOnly: false });
    assert.equal((await prepare({ name: "data", source: at("data") })).length, 1);
  });

  it("are made beside whatever lies in wait for them, readable by nobody else, and leave nothing when they cannot be", async () => {
    writeFileSync(at("victim"), "precious");
    symlinkSync(at("victim"), at("trap.new"));
    await prepare({ name: "data", source: at("trap"), size: "1M" });
    assert.equal(readFileSync(at("victim"), "utf8"), "precious");
    assert.equal(statSync(at("trap")).mode & 0o777, 0o600);
    await assert.rejects(
      prepare({ name: "data", source: at("no/such"), size: "1M" }),
      (error) => error instanceof NexusError && error.code === "image-missing" && /cannot make disk data: .*no such/.test(error.message),
    );
    mkdirSync(at("full"));
    await assert.rejects(prepare({ name: "data", source: at("full/data"), format: "raw", size: "900000T" }), NexusError);
    assert.deepEqual(readdirSync(at("full")), []);
  });

  it("name no other file of the host, which their guest could read and write", async () => {
    writeFileSync(at("secret"), Buffer.alloc(65_536, "secret"));
    create("-b", at("secret"), "-F", "raw", at("layer"));
    create("-o", `data_file=${at("outside")},data_file_raw=on`, at("elsewhere"), "64K");
    for (const name of ["layer", "elsewhere"]) {
      await assert.rejects(
        prepare({ name: "data", source: at(name) }),
        (error) => error instanceof NexusError && error.code === "image-missing" && /a disk must be whole/.test(error.message),
      );
    }
  });
});
