import { afterEach, beforeEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import { addAddress, removeAddress } from "../../src/kernel/addresses.ts";
import { changeLink, createVeth, deleteLink, deleteLinkGroup } from "../../src/kernel/links.ts";
import { createNamespace, namespacePath, openNamespace, removeNamespace } from "../../src/kernel/namespaces.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { type RouteEvent, watchRoutes } from "../../src/kernel/route-events.ts";
import { bridge, cidr, group, mac, name, run } from "./iproute.ts";

describe("events", () => {
  let rt: NetlinkSocket;
  let link: ReturnType<typeof bridge>;
  beforeEach(() => {
    rt = NetlinkSocket.open("route");
    link = bridge(rt);
  });
  afterEach(() => {
    deleteLinkGroup(rt, group);
    rt[Symbol.dispose]();
  });

  test("tell of addresses, routes and links that others change", async () => {
    using watched = recorder();
    run("ip addr add 192.0.2.1/24 dev nexus0");
    await watched.until((event) => event.kind === "address" && event.address.cidr === "192.0.2.1/24" && event.address.link === link.index);
    await watched.until((event) => event.kind === "route" && event.route.destination === "192.0.2.0/24");
    run("ip route add 203.0.113.0/24 via 192.0.2.7");
    await watched.until(
      (event) => event.kind === "route" && event.route.destination === "203.0.113.0/24" && event.route.gateway === "192.0.2.7",
    );
    run("ip route del 203.0.113.0/24");
    await watched.until((event) => event.kind === "route-gone" && event.route.destination === "203.0.113.0/24");
    run("ip addr del 192.0.2.1/24 dev nexus0");
    await watched.until((event) => event.kind === "address-gone" && event.address.cidr === "192.0.2.1/24");
    changeLink(rt, link, { up: false });
    await watched.until((event) => event.kind === "link" && event.link.index === link.index && !event.link.up);
    deleteLink(rt, link);
    await watched.until((event) => event.kind === "link-gone" && event.link.name === "nexus0");
  });

  test("a port that leaves its bridge is not told of as a link that is gone", async () => {
    createNamespace("events");
    using netns = openNamespace(namespacePath("events"));
    const peer = { name: name("eth0"), mac: mac("02:00:00:00:00:03"), mtuBytes: 1500, netns };
    const { index } = createVeth(rt, {
      name: name("port0"),
      mac: mac("02:00:00:00:00:02"),
      mtuBytes: 1500,
      group,
      master: link,
      up: true,
      peer,
    });
    using watched = recorder();
    changeLink(rt, index, { master: "none" });
    addAddress(rt, { link: index, cidr: cidr("192.0.2.5/32") });
    await watched.until((event) => event.kind === "address" && event.address.link === index);
    assert.deepEqual(
      watched.seen.filter((event) => event.kind === "link-gone"),
      [],
    );
    assert.ok(watched.seen.some((event) => event.kind === "link" && event.link.index === index && event.link.master === undefined));
    removeNamespace("events");
  });

  test("neighbours are told of when asked for", async () => {
    using watched = recorder({ groups: ["neighbour"] });
    run("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev nexus0");
    run("ip neigh del 192.0.2.9 dev nexus0");
    await watched.until((event) => event.kind === "neighbour-gone" && event.neighbour.address === "192.0.2.9");
  });

  test("a namespace other than ours is watched through its file", async () => {
    createNamespace("events");
    using netns = openNamespace(namespacePath("events"));
    using watched = recorder({ netns });
    run("ip -n events link set lo up");
    await watched.until((event) => event.kind === "address" && event.address.cidr === "127.0.0.1/8");
    removeNamespace("events");
  });

  test("more than the socket holds is told of as lost, and it goes on afterwards", async () => {
    using watched = recorder();
    // No event is read while this loop runs: 8 MiB of them do not fit.
    for (let i = 0; i < 3000; i++) {
      addAddress(rt, { link, cidr: cidr("192.0.2.1/24") });
      removeAddress(rt, { link, cidr: cidr("192.0.2.1/24") });
    }
    await watched.until((event) => event.kind === "lost");
    // Until the socket has been read empty the kernel drops what comes, so one change may not be told of.
    const marking = setInterval(() => {
      addAddress(rt, { link, cidr: cidr("198.51.100.1/24") });
      removeAddress(rt, { link, cidr: cidr("198.51.100.1/24") });
    }, 20);
    await watched.until(isMarker).finally(() => clearInterval(marking));
  });
});

function isMarker(event: RouteEvent): boolean {
  return event.kind === "address" && event.address.cidr === "198.51.100.1/24";
}

/** Keeps what was told and waits for more, at most five seconds. */
function recorder(options: Parameters<typeof watchRoutes>[1] = {}) {
  const seen: RouteEvent[] = [];
  let changed: (() => void) | undefined;
  const watch = watchRoutes((event) => {
    seen.push(event);
    changed?.();
  }, options);
  const until = async (wanted: (event: RouteEvent) => boolean): Promise<void> => {
    const signal = AbortSignal.timeout(5000);
    while (!seen.some(wanted)) {
      await new Promise<void>((resolve, reject) => {
        changed = resolve;
        signal.onabort = () => reject(new Error(`not told within 5 s; told: ${JSON.stringify(seen.slice(-5))}`));
      });
    }
  };
  return { seen, until, [Symbol.dispose]: () => watch[Symbol.dispose]() };
}
