import { NexusError } from "../base/errors.ts";
import type { Pidfd } from "../kernel/processes.ts";
import { Rooted } from "../kernel/rooted.ts";
import type { GuestFiles } from "./guest-files.ts";
import { rootedFiles } from "./rooted-files.ts";

/** Files of a running container, through its first process: `init` gives that one, proved, or undefined when it has ended. */
export function containerFiles(name: string, init: () => Pidfd | undefined): GuestFiles {
  return rootedFiles(() => {
    using process = init();
    if (process === undefined) throw new NexusError("wrong-state", `guest ${name} is not running`);
    return Rooted.open(process, name);
  });
}
