import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SizeWatch } from "./size-watch.ts";
import type { FacilityDisks, FacilityPlace } from "./place.ts";
import { removeTree } from "../guests/remove-tree.ts";
import { bytesBelow } from "./size-watch.ts";

/** Facilities of an ordinary user's own daemon, who may not mount: plain directories of that user, whose size is watched during runs. */
export function plainDirectories(o: { directory: string; uid: number; gid: number }): FacilityDisks {
  const make = (place: FacilityPlace) => mkdirSync(place.workspace, { recursive: true, mode: 0o700 });
  return {
    placeOf: (name) => ({
      directory: join(o.directory, name),
      workspace: join(o.directory, name, "work"),
      owner: { uid: o.uid, gid: o.gid },
    }),
    async make(place) {
      rmSync(place.workspace, { recursive: true, force: true });
      make(place);
    },
    open: async (place) => void make(place),
    close: async () => true,
    remove: (place) => removeTree(place.directory),
    used: (place) => bytesBelow(place.workspace, AbortSignal.timeout(60_000)),
    watch: (place, bytes) => new SizeWatch(place.workspace, bytes),
  };
}
