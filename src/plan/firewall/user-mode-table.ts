import { machineUsers } from "../../base/machine-users.ts";
import type { Rule, Statement, Table } from "../../wire/nftables/model.ts";
import { groupBase, groupMask } from "../group.ts";

/**
 * A virtual machine in user mode makes its connections as a process of the host, so what keeps it from the host and its networks is who
 * that process is. There while such a machine runs.
 */
export function userModeTable(comment: string): Table {
  return {
    family: "inet",
    name: "nexus_user_mode",
    comment,
    sets: [],
    counters: [],
    chains: [
      { name: "machine", rules: [established, names, host, networks] },
      // Before translation (-105): what is published is the host's address still.
      { name: "output", base: { type: "filter", hook: "output", priority: -110, policy: "accept" }, rules: [machines] },
    ],
  };
}

const accept: Statement = { kind: "verdict", verdict: { kind: "accept" } };
const refusal: Statement[] = [{ kind: "count" }, { kind: "reject", with: "icmpx-admin-prohibited" }];
const toHost: Statement = { kind: "match", field: "fib daddr type", op: "==", value: "local" };

/** Answers through forwarded ports. */
const established: Rule = {
  id: "established",
  statements: [{ kind: "match", field: "ct state", op: "==", value: ["established", "related"] }, accept],
};

/** The host's own resolver, to which QEMU takes the guest's questions. */
const names: Rule = {
  id: "names",
  statements: [
    { kind: "match", field: "l4proto", op: "==", value: [6, 17] },
    { kind: "match", field: "th dport", op: "==", value: 53 },
    toHost,
    accept,
  ],
};

const host: Rule = { id: "host", statements: [toHost, ...refusal] };

const networks: Rule = {
  id: "networks",
  statements: [{ kind: "match", field: "oifgroup", op: "==", value: groupBase, mask: groupMask }, ...refusal],
};

/** What no process sent has no user, and is not looked at further. */
const machines: Rule = {
  id: "machines",
  statements: [
    { kind: "match", field: "skuid", op: "==", value: machineUsers.first, mask: machineUsers.mask },
    { kind: "verdict", verdict: { kind: "jump", chain: "machine" } },
  ],
};
