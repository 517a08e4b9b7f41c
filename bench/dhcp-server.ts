import { type IfName, isFault, parseIfName, parseName } from "../src/base/names.ts";
import { DhcpServer } from "../src/services/dhcp/server.ts";
import { benchClients, bridge, gateway, subnet } from "./dhcp-clients.ts";

/** Our server as a process of its own, as its peer is; says "ready" once it serves. */
const network = parseName("lan");
if (isFault(network)) throw new Error(network.fault);
const server = new DhcpServer();
server.setNetwork({
  network,
  bridge: parseIfName(bridge) as IfName,
  subnets: [{ prefix: subnet, gateway }],
  domain: "lan.nexus",
  mtuBytes: 1500,
  leaseSeconds: 3600,
});
for (const client of benchClients(Number(process.argv[2]))) server.addGuest(network, client);
process.stdout.write("ready\n");
