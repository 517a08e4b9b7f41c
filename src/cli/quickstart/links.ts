import { Disproof, eventually } from "./patience.ts";
import { runProgram } from "./programs.ts";

export async function linkIsThere(link: string, path: string): Promise<boolean> {
  return (await runProgram(["ip", "link", "show", "dev", link], { path })).code === 0;
}

/** A veth goes with the namespace of its peer, but a moment later: it is waited for, and removed by name if the moment gets long. */
export async function waitUntilGone(link: string, path: string): Promise<void> {
  await eventually(async () => {
    if (await linkIsThere(link, path)) throw new Disproof(`${link} is still there`);
  }).catch(() => runProgram(["ip", "link", "del", link], { path }));
}
