import { parseMac } from "../../base/mac.ts";
import { isFault, parseIfName } from "../../base/names.ts";
import { createBridge, createVeth, listLinks } from "../../kernel/links.ts";
import { NetlinkSocket } from "../../kernel/netlink-socket.ts";
import { isErrno } from "../../sys/errno.ts";
import { loadModule } from "./modules.ts";
import { type Check, type Finding, runAsRoot, type Scratch, skipped } from "./report.ts";

/** A bridge with a veth as its port, as every guest has; both go with their namespace. */
export const linkKinds: Check = {
  name: "link-kinds",
  needed: true,
  probe(_context, scratch) {
    if ("refusal" in scratch) return skipped(scratch);
    const bridge = attempt("bridge", () => makeBridge(scratch));
    if (typeof bridge !== "number") return bridge;
    const veth = attempt("veth", () => makePort(scratch, bridge));
    if (typeof veth !== "number") return veth;
    using route = NetlinkSocket.open("route", { netns: scratch.netns });
    const ports = listLinks(route, { master: bridge });
    if (ports.length === 1) return { ok: "ok", detail: "bridges and veth pairs can be made" };
    return {
      ok: "fail",
      detail: "a veth was made but is no port of its bridge",
      remedy: "look for a program that takes interfaces over as they appear, and exclude nx-* from it",
    };
  },
};

const macs = { bridge: parseMac("02:6e:78:00:00:01"), port: parseMac("02:6e:78:00:00:02"), peer: parseMac("02:6e:78:00:00:03") };

function makeBridge(scratch: Extract<Scratch, { netns: unknown }>): number {
  using route = NetlinkSocket.open("route", { netns: scratch.netns });
  return createBridge(route, { name: linkName("nxdoctor-br"), mac: known(macs.bridge), mtuBytes: 1500, group: 0, up: true });
}

function makePort(scratch: Extract<Scratch, { netns: unknown }>, bridge: number): number {
  using route = NetlinkSocket.open("route", { netns: scratch.netns });
  const peer = { name: linkName("nxdoctor-peer"), mac: known(macs.peer), mtuBytes: 1500, netns: scratch.netns };
  return createVeth(route, {
    name: linkName("nxdoctor-port"),
    mac: known(macs.port),
    mtuBytes: 1500,
    group: 0,
    master: { index: bridge, name: "nxdoctor-br" },
    up: true,
    peer,
  }).index;
}

function attempt(kind: "bridge" | "veth", make: () => number): number | Finding {
  try {
    return make();
  } catch (error) {
    const detail = `no ${kind} can be made: ${error instanceof Error ? error.message : String(error)}`;
    if (isErrno(error, "EOPNOTSUPP", "ENOTSUPP")) return { ok: "fail", detail, remedy: `modprobe ${kind}`, fix: () => loadModule(kind) };
    return { ok: "fail", detail, remedy: runAsRoot };
  }
}

function linkName(text: string) {
  const name = parseIfName(text);
  if (isFault(name)) throw new TypeError(name.fault);
  return name;
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("a constant of the doctor is none");
  return value;
}
