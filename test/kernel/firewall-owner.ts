/** Makes a table that belongs to this process, says so, and waits to be ended. */
import { Firewall } from "../../src/kernel/firewall.ts";

const firewall = Firewall.open({ ownership: "owner-persist" });
firewall.apply("make the table", [
  {
    kind: "add-table",
    table: {
      family: "inet",
      name: "nexus",
      comment: "nexus one",
      counters: [],
      chains: [],
      sets: [{ name: "a", key: ["ipv4_addr"], interval: false }],
    },
  },
  { kind: "add-elements", family: "inet", table: "nexus", set: "a", elements: [{ key: ["10.0.0.1"] }] },
]);
process.stdout.write("ready\n");
setInterval(() => firewall.generation(), 60_000);
