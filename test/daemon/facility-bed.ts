import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { Name } from "../../src/base/names.ts";
import { Chronicle } from "../../src/daemon/chronicle.ts";
import { Facilities } from "../../src/daemon/facilities.ts";
import type { FacilityDisks } from "../../src/facilities/place.ts";
import { facilitySpec } from "../../src/spec/facility.ts";
import type { State } from "../../src/state/state.ts";
import { clock } from "../state/sample.ts";

/** Directories in place of disks, that can be made to fail. */
export type TestDisks = FacilityDisks & { fails: boolean; there: Set<string> };

export function facilitiesOn(
  state: State,
  directory: string,
  endRun?: (run: string) => Promise<void>,
): { facilities: Facilities; disks: TestDisks; told: string[] } {
  const disks = testDisks(directory);
  const told: string[] = [];
  const log = { ...silentLog, info: (fields: Record<string, unknown>) => void told.push(String(fields["event"])) };
  const chronicle = new Chronicle(state.events, clock, log);
  const options = { state, disks, limit: "watch", chronicle, clock } as const;
  return { facilities: new Facilities({ ...options, ...(endRun === undefined ? {} : { endRun }) }), disks, told };
}

export function facilityName(name: string): Name {
  return name as Name;
}

export async function facility(facilities: Facilities, name: string): Promise<void> {
  await facilities.create(facilitySpec.parse({ name }), { progress() {}, signal: new AbortController().signal });
}

function testDisks(directory: string): TestDisks {
  const there = new Set<string>();
  const at = (name: string) => join(directory, "facilities", name);
  const nameOf = (path: string) => path.split("/").at(-1) ?? "";
  const disks: TestDisks = {
    fails: false,
    there,
    placeOf: (name, index) => ({
      directory: at(name),
      workspace: join(at(name), "work"),
      owner: { uid: 9000 + index, gid: 9000 + index },
    }),
    async make(place) {
      if (disks.fails) throw new Error("the disk is broken");
      mkdirSync(place.workspace, { recursive: true, mode: 0o777 });
      there.add(nameOf(place.directory));
    },
    open: async () => undefined,
    close: async () => true,
    async remove(place) {
      rmSync(place.directory, { recursive: true, force: true });
      there.delete(nameOf(place.directory));
    },
    used: async () => 0,
    watch: () => ({ full: new AbortController().signal, [Symbol.dispose]() {} }),
  };
  return disks;
}
