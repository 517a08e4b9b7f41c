import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { installPackages } from "./install.ts";
import { lookForPackages } from "./packages.ts";
import { findProgram } from "./programs.ts";
import type { VerbContext } from "../context.ts";
import { NexusError } from "../../base/errors.ts";

export type Wish = { path: string; again: string; signal: AbortSignal; progress: (line: string) => void };

/** Installs what is missing, asking first unless told not to; gives the names of what it installed. @throws NexusError usage, naming the commands, when it may not; runtime-failed */
export async function ensurePackages(c: VerbContext, wish: Wish): Promise<string[]> {
  const { missing } = lookForPackages(wish.path);
  if (missing.length === 0) return [];
  const names = missing.map((need) => need.package);
  const reasons = missing.map((need) => `${need.package} (${need.for})`).join(", ");
  const aptGet = findProgram("apt-get", wish.path);
  if (aptGet === undefined) {
    throw new NexusError("runtime-missing", `these are missing, and there is no apt-get to install them: ${reasons}`, {
      hint: "install the packages that carry them here, then run this again",
      details: { packages: names },
    });
  }
  const byHand = `apt-get install -y --no-install-recommends ${names.join(" ")}`;
  if (!c.flags.on("yes") && !(await agreed(c, reasons, wish.signal))) {
    throw new NexusError("usage", `these Debian packages are missing: ${reasons}; nothing was touched`, {
      hint: `run: ${wish.again}\n  or: ${byHand}`,
      details: { packages: names, commands: [wish.again, byHand] },
    });
  }
  await installPackages(names, { path: wish.path, aptGet, progress: wish.progress, signal: wish.signal });
  const { missing: still } = lookForPackages(wish.path);
  if (still.length === 0) return names;
  throw new NexusError(
    "runtime-missing",
    `apt-get installed ${names.join(", ")}, and yet ${still.map((need) => need.for).join(", ")} is not found`,
    { hint: `PATH is ${wish.path}` },
  );
}

/** Only a person at a terminal is asked; no answer means no. */
async function agreed(c: VerbContext, reasons: string, signal: AbortSignal): Promise<boolean> {
  const { stdin, stderr } = c.io;
  if (c.out.json || stdin.isTTY !== true || stderr.isTTY !== true) return false;
  // Not raw: Ctrl-C then stays a signal, which `signal` hears of.
  const questions = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const asked = questions.question(`Missing Debian packages: ${reasons}\nInstall them now? [Y/n] `, { signal });
    const answer = await Promise.race([asked, once(questions, "close").then(() => "no")]);
    return /^(y(es)?)?$/i.test(answer.trim());
  } catch {
    return false;
  } finally {
    questions.close();
  }
}
