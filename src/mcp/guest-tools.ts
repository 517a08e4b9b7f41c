import { z } from "zod";
import { guestArgument, tool, type Tool } from "./tool.ts";
import type { GuestView, NetworkView } from "../spec/views.ts";

const guestList = tool({
  name: "guest_list",
  title: "List guests",
  description: "Lists the guests on this host, virtual machines and nodes: name, kind, state, image, addresses and published ports.",
  effect: "reads",
  input: z.strictObject({}),
  async run(client, _input, signal) {
    const guests = await client.call("guest.list", {}, { signal });
    return { kind: "data", data: { guests: guests.map(guestSummary) } };
  },
});

const guestStart = tool({
  name: "guest_start",
  title: "Start a guest",
  description: "Starts a guest that is stopped; one that runs is left as it is.",
  effect: "adds",
  repeatable: true,
  input: z.strictObject({ guest: guestArgument }),
  run: async (client, { guest }, signal) => ({
    kind: "data",
    data: guestSummary(await client.call("guest.start", { params: { name: guest } }, { signal })),
  }),
});

const guestStop = tool({
  name: "guest_stop",
  title: "Stop a guest",
  description: "Stops a guest: asks it to end, waits for the grace time, then kills it. Its files stay.",
  effect: "destroys",
  repeatable: true,
  input: z.strictObject({
    guest: guestArgument,
    grace: z.number().int().min(0).max(3600).default(10).describe("seconds to end by itself"),
  }),
  run: async (client, { guest, grace }, signal) => ({
    kind: "data",
    data: guestSummary(await client.call("guest.stop", { params: { name: guest }, query: { grace } }, { signal })),
  }),
});

const networkList = tool({
  name: "network_list",
  title: "List networks",
  description:
    "Lists the networks on this host: subnets and gateways, who may talk to whom, whether they reach the outside, and their state.",
  effect: "reads",
  input: z.strictObject({}),
  async run(client, _input, signal) {
    const networks = await client.call("network.list", {}, { signal });
    return { kind: "data", data: { networks: networks.map(networkSummary) } };
  },
});

const networkWhy = tool({
  name: "network_why",
  title: "Say whether a packet passes",
  description: "Says whether a packet from a guest to a guest or address would pass, and which rule or route decides. Nothing is sent.",
  effect: "reads",
  input: z.strictObject({
    from: z.string().min(1).max(255).describe("name of a guest, or an address"),
    to: z.string().min(1).max(300).describe("NAME:PORT or ADDRESS:PORT; without the port for icmp"),
    protocol: z.enum(["tcp", "udp", "icmp"]).default("tcp"),
  }),
  async run(client, query, signal) {
    const { verdict, reason, rule, path } = await client.call("why", { query }, { signal });
    return { kind: "data", data: { verdict, reason, rule, path } };
  },
});

/** Not what was asked for it at its creation: its environment may hold secrets. */
function guestSummary(guest: GuestView): Record<string, unknown> {
  return {
    name: guest.name,
    kind: guest.kind,
    state: guest.state,
    ...(guest.image === undefined ? {} : { image: guest.image }),
    networks: guest.attachments.map(({ network, addresses }) => ({ network, addresses })),
    publish: guest.publish,
    restarts: guest.restarts,
    ...(guest.exit === undefined ? {} : { exit_code: guest.exit.code, ended_at: guest.exit.at }),
    ...(guest.problem === undefined ? {} : { problem: guest.problem }),
  };
}

function networkSummary(network: NetworkView): Record<string, unknown> {
  const { name, subnets, nat, internal, isolation, peers, dns, state, problem, leases } = network;
  return {
    name,
    subnets: subnets.map(({ prefix, gateway }) => ({ prefix, gateway })),
    nat,
    internal,
    isolation,
    peers,
    dns,
    state,
    ...(problem === undefined ? {} : { problem }),
    guests: [...new Set(leases.map((lease) => lease.guest))],
  };
}

export const guestTools: readonly Tool[] = [guestList, guestStart, guestStop, networkList, networkWhy];
