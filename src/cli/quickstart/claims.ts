import type { Scene } from "./scene.ts";
import * as isolation from "./claims-isolation.ts";
import * as names from "./claims-names.ts";
import * as objects from "./claims-objects.ts";
import * as run from "./claims-run.ts";
import * as vm from "./claims-vm.ts";
import * as ways from "./claims-ways.ts";

export type Claim = { name: string; prove: (scene: Scene) => Promise<string>; deadlineMs?: number; onlyOn?: NodeJS.Architecture };

/** What quickstart says Nexus does, once the networks and nodes are there, in the order it is proved. */
export const claims: readonly Claim[] = [
  { name: "ping-host-web", prove: ways.pingFromHost },
  { name: "ping-web-gateway", prove: ways.pingGateway },
  { name: "dns-short", prove: names.shortName },
  { name: "dns-full", prove: names.fullName },
  { name: "dns-aaaa", prove: names.ipv6Name },
  { name: "peer", prove: ways.peer },
  { name: "isolation-guests", prove: isolation.betweenGuests },
  { name: "isolation-networks", prove: isolation.betweenNetworks },
  { name: "nat", prove: ways.nat },
  { name: "published-outside", prove: ways.publishedOutside },
  { name: "published-host", prove: ways.publishedHost },
  { name: "outside-direct", prove: isolation.fromOutside },
  { name: "vm-boots", prove: vm.boots, deadlineMs: vm.bootDeadlineMs, onlyOn: vm.architecture },
  { name: "vm-ping", prove: vm.pingFromHost, deadlineMs: vm.bootDeadlineMs, onlyOn: vm.architecture },
  { name: "vm-name", prove: vm.byName, onlyOn: vm.architecture },
  { name: "vm-file-read", prove: vm.fileByTool, deadlineMs: vm.bootDeadlineMs, onlyOn: vm.architecture },
  { name: "run-one-name", prove: run.oneName, deadlineMs: run.deadlineMs },
  { name: "limits", prove: objects.limits },
  { name: "spec-second-apply", prove: objects.secondApply },
];
