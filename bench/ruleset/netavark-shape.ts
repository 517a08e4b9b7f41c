import { guestPorts, portsOf, subnetOf } from "./scale.ts";

/**
 * Rules as netavark's nftables driver lays them out: in forward two rules for every network, for published ports one rule each in a flat
 * chain. Left out, in its favour: isolation chains and the marking rules of each port.
 */
export function netavarkShape(networks: number): string {
  const subnets = Array.from({ length: networks }, (_, network) => ({ network, ...subnetOf(network) }));
  const forward = subnets.map((s) => `  ip daddr ${s.prefix} ct state established,related accept\n  ip saddr ${s.prefix} accept`);
  const masquerade = subnets.map((s) => `  ip saddr ${s.prefix} ip daddr != ${s.prefix} masquerade`);
  const dnat = subnets.flatMap((s) =>
    portsOf(s.network).map((port) => `  tcp dport ${port} dnat ip to ${s.guest}:${guestPorts.connections}`),
  );
  return `table inet netavark {
 chain hostports {
${dnat.join("\n")}
 }
 chain prerouting { type nat hook prerouting priority dstnat; policy accept;
  fib daddr type local jump hostports
 }
 chain output { type nat hook output priority -100; policy accept;
  fib daddr type local jump hostports
 }
 chain forward { type filter hook forward priority filter; policy accept;
  ct state invalid drop
${forward.join("\n")}
 }
 chain postrouting { type nat hook postrouting priority srcnat; policy accept;
${masquerade.join("\n")}
 }
}
`;
}
