import { host, hostPorts, outside, published } from "./topology.ts";
import type { Outcome } from "./place.ts";
import type { World } from "./topology.ts";

export type Family = 4 | 6;

/** What should become of an attempt: who answers and whom it sees, or how it fails. */
export type Expected =
  | { kind: "answer"; by: string; port: number; seen: string }
  /** A rule says so by ICMP (administratively prohibited). TCP may hear it only with its first repetition, after a second: at first the socket is busy sending. */
  | { kind: "prohibited" }
  /** The way is open and nobody listens there. */
  | { kind: "nobody" }
  /** The sender itself has no route. */
  | { kind: "no-route" }
  | { kind: "silent" }
  /** No answer, in whichever way. */
  | { kind: "denied" };

export type Cell = {
  name: string;
  from: string;
  to: string;
  port: number;
  protocol: "tcp" | "udp";
  expected: Expected;
  /** What `why` is to say; by default "allow" exactly when there is an answer. */
  why?: "allow" | "deny";
};

/** Everybody against everybody that matters, in one family. */
export function cells(world: World, family: Family): Cell[] {
  const out: Cell[] = [];
  const at = (guest: string) => world.address(guest, family);
  const gateway = (network: string) => world.gateway(network, family);
  const H = host[family];
  const O = outside[family];
  const loopback = family === 4 ? "127.0.0.1" : "::1";
  const add = (
    name: string,
    [from, to, port, protocol]: [string, string, number, "tcp" | "udp"],
    expected: Expected,
    why?: "allow" | "deny",
  ) =>
    out.push({
      name: `v${family} ${name}: ${from} -> ${to} ${protocol} ${port}`,
      from,
      to,
      port,
      protocol,
      expected,
      ...(why === undefined ? {} : { why }),
    });
  const answer = (by: string, port: number, seen: string): Expected => ({ kind: "answer", by, port, seen });
  const prohibited: Expected = { kind: "prohibited" };
  const nobody: Expected = { kind: "nobody" };
  const silent: Expected = { kind: "silent" };
  const denied: Expected = { kind: "denied" };
  const noRoute: Expected = { kind: "no-route" };

  // Every kind of publish of web, from wherever it may be reached; the source address is kept except on the way back to itself.
  const callers = [
    { from: "host", seen: H },
    { from: "outside", seen: O },
    { from: "db", seen: at("db") },
    { from: "mail", seen: at("mail") },
    { from: "room1", seen: at("room1") },
    { from: "edge", seen: at("edge") },
    { from: "app", seen: gateway("lan") },
    { from: "web", seen: gateway("lan") },
  ];
  for (const { from, seen } of callers) {
    add("publish on any address", [from, H, published.any, "tcp"], answer("web", 80, seen));
    add("publish on any address", [from, H, published.anyUdp, "udp"], answer("web", 81, seen));
    add("publish on one address", [from, H, published.one, "tcp"], answer("web", 80, seen));
    add("publish on one address", [from, H, published.oneUdp, "udp"], answer("web", 81, seen));
  }
  for (const from of ["host", "outside", "app"]) {
    const seen = callers.find((c) => c.from === from)?.seen ?? "";
    for (const i of [0, 2]) {
      add("range", [from, H, published.range + i, "tcp"], answer("web", published.range + i, seen));
      add("shifted range", [from, H, published.shifted + i, "tcp"], answer("web", 9200 + i, seen));
      add("range", [from, H, published.rangeUdp + i, "udp"], answer("web", published.rangeUdp + i, seen));
      add("shifted range", [from, H, published.shiftedUdp + i, "udp"], answer("web", 9500 + i, seen));
      add("range on one address", [from, H, published.oneRange + i, "tcp"], answer("web", published.oneRange + i, seen));
    }
    add("beyond a range", [from, H, published.range + 3, "tcp"], nobody, from === "app" ? "allow" : "deny");
    add("beyond a shifted range", [from, H, published.shifted + 3, "tcp"], nobody, from === "app" ? "allow" : "deny");
  }
  add("publish on any address, by a gateway", ["host", gateway("lan"), published.any, "tcp"], answer("web", 80, gateway("lan")));
  add("publish on any address, by another network's gateway", ["db", gateway("lan"), published.any, "tcp"], answer("web", 80, at("db")));
  add("publish on one address is not on the others", ["host", gateway("lan"), published.one, "tcp"], nobody, "deny");
  add("publish on one address is not on the others", ["app", gateway("lan"), published.one, "tcp"], nobody, "allow");
  add("publish of an isolated guest, to its neighbour", ["room1", H, published.room, "tcp"], denied);
  add("publish of an isolated guest, to itself", ["room2", H, published.room, "tcp"], denied);
  for (const from of ["web", "edge"]) add("publish of an isolated guest", [from, H, published.room, "tcp"], answer("room2", 80, at(from)));
  add("publish of an isolated guest", ["outside", H, published.room, "tcp"], answer("room2", 80, O));
  add("publish of a routed guest", ["outside", H, published.edge, "tcp"], answer("edge", 80, O));
  add("publish of another network", ["outside", H, published.db, "tcp"], answer("db", 80, O));

  // Loopback publishes are for this host alone.
  add("loopback publish", ["host", loopback, published.loopback, "tcp"], answer("web", 80, gateway("lan")));
  add("loopback publish", ["host", loopback, published.loopbackUdp, "udp"], answer("web", 81, gateway("lan")));
  if (family === 4)
    add("publish on any address, by loopback", ["host", "127.0.0.1", published.any, "tcp"], answer("web", 80, gateway("lan")));
  else add("publish on any address is not carried from ::1", ["host", "::1", published.any, "tcp"], nobody, "deny");
  for (const from of ["outside", "host"])
    add("loopback publish is not on other addresses", [from, H, published.loopback, "tcp"], nobody, "deny");
  for (const from of ["app", "web", "db"])
    add("loopback publish is not on other addresses", [from, H, published.loopback, "tcp"], nobody, "allow");

  // Straight to guests.
  for (const guest of ["web", "db", "safe1", "room1"]) add("direct access from outside", ["outside", at(guest), 80, "tcp"], silent);
  add("direct access from outside", ["outside", at("web"), 81, "udp"], silent);
  add("direct access to a routed network", ["outside", at("edge"), 80, "tcp"], answer("edge", 80, O));
  add("the host reaches guests", ["host", at("web"), 80, "tcp"], answer("web", 80, gateway("lan")));
  add("the host reaches guests", ["host", at("safe1"), 81, "udp"], answer("safe1", 81, gateway("vault")));
  add("the host reaches guests", ["host", at("room1"), 80, "tcp"], answer("room1", 80, gateway("hotel")));
  add("same network", ["web", at("app"), 80, "tcp"], answer("app", 80, at("web")));
  add("same network", ["app", at("web"), 81, "udp"], answer("web", 81, at("app")));
  add("same internal network", ["safe1", at("safe2"), 80, "tcp"], answer("safe2", 80, at("safe1")));
  add("itself", ["web", at("web"), 80, "tcp"], answer("web", 80, at("web")));

  // Isolation answers at once; peers talk in both directions and it goes no further.
  for (const [from, to] of [
    ["web", "db"],
    ["db", "web"],
    ["mail", "db"],
    ["db", "mail"],
    ["web", "safe1"],
    ["room1", "web"],
    ["web", "room1"],
    ["edge", "web"],
    ["web", "edge"],
  ] as const) {
    add("isolation", [from, at(to), 80, "tcp"], prohibited);
  }
  add("isolation", ["web", at("db"), 81, "udp"], prohibited);
  add("peers", ["web", at("mail"), 80, "tcp"], answer("mail", 80, at("web")));
  add("peers", ["mail", at("web"), 80, "tcp"], answer("web", 80, at("mail")));
  add("peers", ["mail", at("app"), 81, "udp"], answer("app", 81, at("mail")));
  add("guests isolated from each other, on the bridge", ["room2", at("room1"), 80, "tcp"], denied);
  add("guests isolated from each other, by the gateway", ["room1", at("room2"), 80, "tcp"], prohibited);

  // The host itself, and gateways.
  for (const from of ["web", "db", "room1", "edge", "outside"])
    add(
      "the host's own services",
      [from, H, hostPorts.tcp, "tcp"],
      answer("host", hostPorts.tcp, from === "outside" ? O : at(from)),
      from === "outside" ? "deny" : "allow",
    );
  add("own gateway", ["web", gateway("lan"), hostPorts.tcp, "tcp"], answer("host", hostPorts.tcp, at("web")));
  add("own gateway", ["room1", gateway("hotel"), hostPorts.udp, "udp"], answer("host", hostPorts.udp, at("room1")));
  add("own gateway", ["safe1", gateway("vault"), hostPorts.tcp, "tcp"], answer("host", hostPorts.tcp, at("safe1")));
  add("a peer's gateway", ["web", gateway("dmz"), hostPorts.tcp, "tcp"], answer("host", hostPorts.tcp, at("web")));
  add("a peer's gateway", ["mail", gateway("lan"), hostPorts.tcp, "tcp"], answer("host", hostPorts.tcp, at("mail")));
  add("another network's gateway", ["web", gateway("back"), hostPorts.tcp, "tcp"], prohibited);
  add("another network's gateway", ["db", gateway("lan"), hostPorts.udp, "udp"], prohibited);
  add("another network's gateway", ["room1", gateway("vault"), hostPorts.tcp, "tcp"], prohibited);

  // Internal: no way out or in, whether the guest makes itself a route or not.
  for (const to of [O, H, at("web"), gateway("lan")]) {
    add("internal", ["safe1", to, 80, "tcp"], noRoute);
    add("internal, with a route of its own", ["safe2", to, to === O || to === at("web") ? 80 : hostPorts.tcp, "tcp"], prohibited);
  }
  add("internal, published ports", ["safe1", H, published.any, "tcp"], noRoute);
  add("internal, published ports, with a route of its own", ["safe2", H, published.any, "tcp"], prohibited);

  // The way out.
  for (const from of ["web", "db", "mail", "room1"]) {
    add("out", [from, O, 80, "tcp"], answer("outside", 80, H));
    add("out", [from, O, 81, "udp"], answer("outside", 81, H));
  }
  add("out without translation", ["edge", O, 80, "tcp"], answer("outside", 80, at("edge")));
  return out;
}

/** True when what happened is what should. */
export function fits(expected: Expected, outcome: Outcome): boolean {
  switch (expected.kind) {
    case "answer":
      return outcome.kind === "answer" && outcome.by === expected.by && outcome.port === expected.port && outcome.seen === expected.seen;
    case "prohibited":
      return outcome.kind === "refused" && ["EHOSTUNREACH", "EACCES"].includes(outcome.code) && outcome.ms < 3000;
    case "nobody":
      return outcome.kind === "refused" && outcome.code === "ECONNREFUSED";
    case "no-route":
      return outcome.kind === "refused" && outcome.code === "ENETUNREACH";
    case "silent":
      return outcome.kind === "silent";
    case "denied":
      return outcome.kind === "silent" || (outcome.kind === "refused" && outcome.code !== "ECONNREFUSED");
  }
}
