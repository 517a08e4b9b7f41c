import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { open as openFile, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { isImageMounted, makeImageFile, mountImage } from "../kernel/disk-image.ts";
import type { FacilityDisks, FacilityPlace } from "./place.ts";
import { program } from "./programs.ts";
import { removeTree } from "../guests/remove-tree.ts";
import { runTool } from "./tool.ts";

/**
 * Each facility on an ext4 image whose room on the host's disk is taken when it is made: a sandbox that fills it meets ENOSPC, and
 * the host's own disk does not notice. Images are below `directory`, and mounted below `mounts`, where the facility's uid can go.
 */
export function imageDisks(o: { directory: string; mounts: string }): FacilityDisks {
  const imageOf = (place: FacilityPlace) => join(place.directory, "disk.img");
  const open = (place: FacilityPlace, image: string) => {
    const target = dirname(place.workspace);
    mkdirSync(o.mounts, { recursive: true, mode: 0o711 });
    chmodSync(o.mounts, 0o711);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    mountImage(image, target);
  };
  const close = async (place: FacilityPlace) => {
    const target = dirname(place.workspace);
    if (!existsSync(target) || !isImageMounted(imageOf(place), target)) return true;
    // Writing back may take seconds, for which nothing else here could run.
    await runTool(program("umount"), ["-n", "-c", "--", target], { what: `unmount ${target}`, deadlineMs: 120_000, failures: "answer" });
    return !isImageMounted(imageOf(place), target);
  };
  return {
    placeOf: (name, index) => ({
      directory: join(o.directory, name),
      workspace: join(o.mounts, name, "work"),
      owner: { uid: firstUid + index, gid: firstUid + index },
    }),
    async make(place, bytes) {
      mkdirSync(place.directory, { recursive: true, mode: 0o700 });
      const image = imageOf(place);
      const fresh = `${image}.new`;
      rmSync(fresh, { force: true });
      makeImageFile(fresh, bytes);
      const options = ["-q", "-F", "-m", "0", "-i", "8192", "-E", "nodiscard,lazy_itable_init=1,root_owner=0:0"];
      await runTool(program("mkfs.ext4"), [...options, "--", fresh], { what: `make a file system in ${fresh}`, deadlineMs: 120_000 });
      await flush(fresh);
      renameSync(fresh, image);
      await flush(place.directory);
      open(place, image);
      const { workspace, owner } = place;
      // Only the facility's own uid gets further than the directory that holds it.
      chmodSync(dirname(workspace), 0o711);
      mkdirSync(workspace, { mode: 0o700 });
      chownSync(workspace, owner.uid, owner.gid);
    },
    async open(place) {
      open(place, imageOf(place));
    },
    close,
    async remove(place) {
      const target = dirname(place.workspace);
      if (!(await close(place)))
        throw new NexusError("in-use", `${target} is still in use`, { hint: `see who has files open there: fuser -vm ${target}` });
      rmSync(target, { recursive: true, force: true });
      await removeTree(place.directory);
    },
    async used(place) {
      if (!existsSync(dirname(place.workspace)) || !isImageMounted(imageOf(place), dirname(place.workspace))) return undefined;
      const { blocks, bfree, bsize } = await statfs(dirname(place.workspace));
      return (blocks - bfree) * bsize;
    },
    // The disk ends where it ends.
    watch: () => ({ full: new AbortController().signal, [Symbol.dispose]() {} }),
  };
}

/**
 * Files of facility n belong to this uid plus n: 2,013,265,921 to 2,013,331,456. No distribution gives uids of this range to users,
 * services or containers, so nobody else on the host has one.
 */
const firstUid = 0x78000000;

/** What is in a file or directory outlives a power failure. */
async function flush(path: string): Promise<void> {
  await using file = await openFile(path, "r");
  await file.sync();
}
