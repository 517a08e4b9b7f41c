import { realpathSync, statSync } from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import type { Peer } from "../api/contract.ts";
import { NexusError, SpecError } from "../base/errors.ts";
import type { SandboxPlan } from "../guests/sandbox.ts";
import type { RunSpec } from "../spec/run.ts";

export type Workspace = NonNullable<SandboxPlan["workspace"]>;

/** Where a sandbox that has a file system of its own sees its facility. */
const workspacePath = "/workspace";

/** Where a run works, and where of that it begins. */
export type RunPlace = { workspace: Workspace | undefined; cwd: string; home: string };

/** The directory a run works in, and whether nobody else may meanwhile. */
export type Claim = { source: string; alone: boolean };

/**
 * A virtual machine works on a copy, which then takes the place of what is there, by paths: who works there as well would lose files, or
 * lead the copying out of the directory by links. Whoever sees the whole host is not held to it.
 */
export function excludes(one: Claim, other: Claim): boolean {
  if (one.source === "/" || other.source === "/" || (!one.alone && !other.alone)) return false;
  return isWithin(one.source, other.source) || isWithin(other.source, one.source);
}

type Asked = {
  spec: RunSpec;
  caller: Pick<Peer, "uid" | "gid">;
  /** Of a facility by its name, whose lock the run has. */
  held: Pick<Workspace, "source" | "owner"> | undefined;
  /** Directories of Nexus itself, which no command may have to write in. */
  own: readonly string[];
};

/** @throws SpecError, NexusError not-permitted when the place is not the caller's, or leads out of itself */
export function placeOf({ spec, caller, held, own }: Asked): RunPlace {
  const plain = spec.profile === "host" || spec.profile === "darwin-automation";
  if (spec.facility === undefined) {
    // A plain process sees the host as it is, as the user who asked.
    const workspace = plain ? { source: "/", target: "/", owner: { uid: caller.uid, gid: caller.gid } } : undefined;
    const cwd = spec.cwd ?? (plain ? "/" : "/tmp");
    if (!isAbsolute(cwd))
      throw wrong("cwd", "is relative to a facility, and the run has none", "write --facility DIR, or an absolute path");
    return { workspace, cwd, home: plain ? "/" : "/tmp" };
  }
  const { source, owner } = held ?? ownDirectory(spec.facility, caller, own);
  if (held === undefined && !plain && isSystem(source))
    throw wrong("facility", `${source} is part of the host's system`, "take a directory of your own, or `nexus facility create`");
  const target = plain ? source : workspacePath;
  return { workspace: { source, target, owner }, cwd: cwdIn({ source, target }, spec.cwd), home: target };
}

/** A directory of the host by its real path: of the caller, who otherwise could have root write where he may not. */
function ownDirectory(path: string, caller: Pick<Peer, "uid">, own: readonly string[]): Pick<Workspace, "source" | "owner"> {
  const real = existing("facility", path);
  const stat = statSync(real);
  if (!stat.isDirectory()) throw wrong("facility", `${real} is no directory`);
  if (caller.uid !== 0 && stat.uid !== caller.uid)
    throw new NexusError("not-permitted", `the facility ${real} belongs to user ${stat.uid}, not to you (user ${caller.uid})`, {
      hint: "take a directory of your own",
    });
  if (real === "/") throw wrong("facility", "the root directory cannot be a facility", "take a directory below it");
  const held = own.find((directory) => isWithin(directory, real) || isWithin(real, directory));
  if (held !== undefined) throw wrong("facility", `${real} holds ${held}, where Nexus keeps its state`, "take another directory");
  return { source: real, owner: { uid: stat.uid, gid: stat.gid } };
}

/** What a command in a sandbox is never to change, also when root asks: it is all that keeps the host apart from it. */
function isSystem(directory: string): boolean {
  return (
    ["/boot", "/dev", "/etc", "/proc", "/sys", "/usr"].some((part) => isWithin(directory, part)) ||
    ["/home", "/run", "/var"].includes(directory)
  );
}

/** @throws SpecError when it is not there, is no directory, or leads out of the facility */
function cwdIn({ source, target }: Pick<Workspace, "source" | "target">, asked: string | undefined): string {
  if (asked === undefined) return target;
  const below = !isAbsolute(asked) ? asked : isWithin(asked, target) ? relative(target, asked) : undefined;
  if (below === undefined) throw wrong("cwd", `${asked} is not inside the facility, which the command sees as ${target}`);
  const real = existing("cwd", join(source, below));
  if (!isWithin(real, source)) throw wrong("cwd", `${asked} leads out of the facility, to ${real}`);
  if (!statSync(real).isDirectory()) throw wrong("cwd", `${asked} is no directory`);
  return join(target, relative(source, real));
}

function existing(key: string, path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw wrong(key, code === "ENOENT" ? `${path} does not exist` : `${path} cannot be used (${code})`);
  }
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

function wrong(path: string, problem: string, hint?: string): SpecError {
  return new SpecError([{ path, problem, ...(hint === undefined ? {} : { hint }) }]);
}
