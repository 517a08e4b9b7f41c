import { existsSync, mkdirSync } from "node:fs";
import { makeNetns, type Peer, removeNetns, slotAddress } from "./peer.ts";
import { runOrThrow } from "../program.ts";

const program = "/usr/lib/podman/netavark";
const configDirectory = "/run/containers/networks";

/** podman's network program, called as podman calls it: one process per setup or teardown, JSON on stdin. Addresses are podman's job, so given. */
export function netavark(): Peer {
  if (!existsSync(program)) throw new Error(`${program} is missing; apt-get install netavark`);
  mkdirSync(configDirectory, { recursive: true });
  const call = (verb: "setup" | "teardown", slot: number): number => {
    const input = JSON.stringify(request(slot));
    const begin = performance.now();
    runOrThrow(program, ["--config", configDirectory, "--rootless=false", verb, `/run/netns/netavark-${slot}`], input);
    return performance.now() - begin;
  };
  return {
    name: "netavark",
    attach(slot) {
      makeNetns("netavark", slot);
      return call("setup", slot);
    },
    detach(slot) {
      const ms = call("teardown", slot);
      removeNetns("netavark", slot);
      return ms;
    },
  };
}

function request(slot: number): unknown {
  const id = slot.toString(16).padStart(64, "a");
  return {
    container_id: id,
    container_name: `c${slot}`,
    port_mappings: [{ host_ip: "", host_port: 21000 + slot, container_port: 80, range: 1, protocol: "tcp" }],
    networks: { bench: { static_ips: [slotAddress(201, slot)], interface_name: "eth0" } },
    network_info: {
      bench: {
        name: "bench",
        id: "b".repeat(64),
        driver: "bridge",
        network_interface: "nvk0",
        created: "2026-01-01T00:00:00Z",
        subnets: [{ subnet: "10.201.0.0/16", gateway: "10.201.0.1" }],
        ipv6_enabled: false,
        internal: false,
        dns_enabled: false,
        ipam_options: { driver: "host-local" },
      },
    },
  };
}
