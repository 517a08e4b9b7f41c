import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { ProjectBed } from "./compose-bed.ts";
import { Bed } from "./recovery-bed.ts";

const project = `
name: killed
networks: { a: {}, b: { peers: [a] } }
volumes: { data: {} }
nodes:
  one: { command: [sleep, "1000"], stop_grace_period: 0s, networks: [a], ports: ["18200:80"], volumes: ["data:/data"] }
  two: { command: [sleep, "1000"], stop_grace_period: 0s, networks: [a, b], depends_on: [one] }
  three: { command: [sleep, "1000"], stop_grace_period: 0s, networks: [b], depends_on: [two], restart: always }
`;

/** From before the first request to after the last, on a quiet machine and on a busy one. */
const momentsMs = [60, 120, 180, 240, 320, 420, 550, 700, 900];

test(
  "a daemon killed at any moment of up and of down: the same command again makes it whole, and nothing is left",
  { timeout: 400_000 },
  async () => {
    await using bed = await Bed.make();
    using there = new ProjectBed(bed, "killed");
    there.write("nexus-compose.yaml", project);

    /** Runs a command, kills the daemon in the middle, and starts it again; what the command says then is no matter. */
    const interrupted = async (afterMs: number, ...args: string[]) => {
      const { said } = there.start(...args);
      await delay(afterMs);
      await bed.daemon.end("SIGKILL");
      const { err } = await said;
      await bed.daemon.start();
      assert.doesNotMatch(err, /a defect in Nexus/);
    };
    const well = async (...args: string[]) => {
      const { code, err } = await there.run(...args);
      assert.equal(code, 0, `nexus ${args.join(" ")}: ${err}`);
    };

    for (const moment of momentsMs) {
      await interrupted(moment, "up");
      await well("up");
      const guests = await bed.client.call("guest.list");
      assert.deepEqual(Object.fromEntries(guests.map((guest) => [guest.name as string, guest.state])), {
        "killed-one": "running",
        "killed-two": "running",
        "killed-three": "running",
      });
      await bed.allIsWell();

      await interrupted(moment, "down");
      assert.ok(
        (await bed.client.call("volume.list")).some((volume) => volume.name === "killed-data"),
        "no volume goes without -v",
      );
      await well("down");
      assert.deepEqual([await bed.client.call("guest.list"), await bed.client.call("network.list")], [[], []]);
      await bed.allIsWell();
    }
    await well("up");
    await interrupted(300, "down", "-v");
    await well("down", "-v");
    await bed.allIsWell();
  },
);
