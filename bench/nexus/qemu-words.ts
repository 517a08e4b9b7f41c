import { readFileSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
import { socketNames } from "../../src/guests/qemu-layout.ts";

/** Where a QEMU that the daemon started has its sockets: beside the log it was given. */
export function directoryOf(pid: number): string {
  const log = wordsOf(pid).flatMap((word) => /^fd=.*,opaque=(.*)$/.exec(word)?.[1] ?? [])[0];
  if (log === undefined) throw new Error(`QEMU ${pid} was given no log`);
  return dirname(log);
}

/** Its command line as somebody gives it by hand in a directory of their own: names in place of descriptors, and begun at once. */
export function wordsByName(pid: number): string[] {
  const words = wordsOf(pid);
  return words
    .filter((word, i) => word !== "-S" && word !== "-add-fd" && words[i - 1] !== "-add-fd")
    .map((word) =>
      word
        .replace(/^\/proc\/self\/fd\/(\d+)$/, (_, fd: string) => readlinkSync(`/proc/${pid}/fd/${fd}`))
        .replace(
          /^socket,id=(monitor|console|agent),fd=\d+/,
          (_, id: keyof typeof socketNames) => `socket,id=${id},path=${socketNames[id]}`,
        )
        .replace(/\/dev\/fdset\/\d+/, "log"),
    );
}

function wordsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
}
