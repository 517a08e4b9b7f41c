import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { plainDirectories } from "../facilities/directories.ts";
import { imageDisks } from "../facilities/images.ts";
import type { Places } from "../spec/places.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import { Facilities } from "./facilities.ts";

/** Facilities as this process can keep them: root mounts a disk for each, others watch the size of directories. */
export function openFacilities(o: {
  places: Pick<Places, "stateDir" | "runDir">;
  state: State;
  chronicle: Chronicle;
  clock: Pick<Clock, "now">;
  endRun?: (run: string) => Promise<void>;
}): Facilities {
  const { places, ...rest } = o;
  const directory = join(places.stateDir, "facilities");
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return uid === 0
    ? new Facilities({ ...rest, limit: "disk", disks: imageDisks({ directory, mounts: join(places.runDir, "facilities") }) })
    : new Facilities({ ...rest, limit: "watch", disks: plainDirectories({ directory, uid, gid }) });
}
