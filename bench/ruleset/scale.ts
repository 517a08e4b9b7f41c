/** The size at which rulesets are compared, and where in it the measured traffic sits: in the middle, as an average guest would. */
export const scale = { networks: 5000, portsEach: 12, firstPort: 1024, measured: 2500 } as const;

/** 10.A.B.0/24 for network number 256 A + B. */
export function subnetOf(network: number): { prefix: string; gateway: string; guest: string } {
  const base = `10.${network >> 8}.${network & 255}`;
  return { prefix: `${base}.0/24`, gateway: `${base}.1`, guest: `${base}.2` };
}

/** Host ports of a network: consecutive, 60,000 in all. */
export function portsOf(network: number): number[] {
  const first = scale.firstPort + network * scale.portsEach;
  return Array.from({ length: scale.portsEach }, (_, i) => first + i);
}

/** What listens in the measured guest. */
export const guestPorts = { throughput: 5201, connections: 5202 } as const;
