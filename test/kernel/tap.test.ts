import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { KernelError } from "../../src/base/errors.ts";
import { openTap, type TapRequest } from "../../src/sys/tap.ts";

type Shown = {
  ifname: string;
  linkinfo: {
    info_kind: string;
    info_data: {
      type: string;
      vnet_hdr: boolean;
      multi_queue: boolean;
      persist: boolean;
      user?: number;
      group?: number;
      numqueues?: number;
    };
  };
};

describe("a tap", { skip: existsSync("/dev/net/tun") ? false : "this host has no /dev/net/tun" }, () => {
  test("has the modes and owners asked for, its name told by the kernel, and goes with its descriptor", () => {
    const tap = openTap({ ...single, name: "nexus%d", owner: 4242, group: 4343 });
    assert.match(tap.name, /^nexus\d+$/);
    const data = shown(tap.name)?.linkinfo.info_data;
    assert.equal(data?.type, "tap");
    assert.deepEqual([data?.vnet_hdr, data?.multi_queue, data?.persist, data?.user, data?.group], [true, false, false, 4242, 4343]);
    tap.fd[Symbol.dispose]();
    assert.equal(shown(tap.name), undefined);
  });

  test("takes further queues only where it was made for them, and is made once", () => {
    using one = openTap(single).fd;
    assert.throws(() => openTap({ ...single, create: false, multiQueue: true }), refused("EINVAL"));
    assert.throws(() => openTap(single), refused("EBUSY"));
    assert.ok(one);
    const many: TapRequest = { ...single, name: "tapq" as TapRequest["name"], multiQueue: true };
    using first = openTap(many).fd;
    using second = openTap({ ...many, create: false }).fd;
    assert.ok(first.number !== second.number);
    assert.equal(shown("tapq")?.linkinfo.info_data.numqueues, 2);
  });

  test("stays when it is persistent, until it is no longer", () => {
    openTap({ ...single, persist: true }).fd[Symbol.dispose]();
    assert.equal(shown("tap0")?.linkinfo.info_data.persist, true);
    openTap({ ...single, create: false, persist: false }).fd[Symbol.dispose]();
    assert.equal(shown("tap0"), undefined);
  });
});

const single: TapRequest = { name: "tap0" as TapRequest["name"], multiQueue: false, vnetHeader: true, create: true };

function shown(name: string): Shown | undefined {
  const links = JSON.parse(execFileSync("ip", ["-j", "-d", "link", "show"], { encoding: "utf8" })) as Shown[];
  return links.find((link) => link.ifname === name);
}

function refused(errno: string): (error: unknown) => boolean {
  return (error) => error instanceof KernelError && error.errno === errno && error.hint !== undefined;
}
