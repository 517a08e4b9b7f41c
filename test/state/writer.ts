import { writeSync } from "node:fs";
import { guest, network, openState } from "./sample.ts";

/** A child for the crash tests: makes and removes guests without end, and prints a line for each change only when it is acknowledged, waiting for a reader who is slow. */
const [directory = "", start = "2"] = process.argv.slice(2);
using state = openState(directory);
const net = network("default", 1);
if (state.networks.all().length === 0) state.networks.insert(net);
for (let n = Number(start); ; n++) {
  state.transaction(() => {
    state.guests.insert(guest(net, n));
    state.events.append({ at: n, kind: "guest.created", subject: `g${n}`, message: "created", details: undefined });
  });
  writeSync(1, `+${n}\n`);
  if (n % 3 === 0) {
    state.guests.delete(`id-${n}`);
    writeSync(1, `-${n}\n`);
  }
}
