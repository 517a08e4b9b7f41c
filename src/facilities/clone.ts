import { NexusError } from "../base/errors.ts";
import type { CloneCredential } from "../spec/facility.ts";
import { schemeOf } from "../spec/repository.ts";
import { type Confinement, runConfined } from "./confine.ts";
import { gitEnvironment } from "./git-environment.ts";
import type { FacilityPlace } from "./place.ts";
import { program } from "./programs.ts";
import { runTool, type ToolOptions } from "./tool.ts";

export type CloneOptions = {
  url: string;
  ref?: string | undefined;
  credential?: CloneCredential | undefined;
  /** The most one file of it may have. */
  bytes: number;
  signal: AbortSignal;
  progress: (line: string) => void;
};

/**
 * Clones a repository into an empty workspace, as the facility's uid. Submodules, hooks and filters are left alone: what the repository
 * says about them is for whoever works in the sandbox. The credential goes by a descriptor, to the repository's own server only, and
 * not over plain http to another machine.
 * @throws NexusError `runtime-failed` with git's words, `too-large` when it does not fit, `not-permitted`, `timeout`
 */
export async function cloneInto(place: FacilityPlace, o: CloneOptions): Promise<void> {
  const { url, ref, credential } = o;
  refuseOpenCredential(o);
  const confinement: Confinement = { owner: place.owner, directory: place.workspace, network: "host", fileBytes: o.bytes };
  const env = gitEnvironment({ protocol: schemeOf(url), config: credential === undefined ? {} : credentialHelper(url) });
  const isCommit = ref !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(ref);
  const options: ToolOptions = {
    what: `clone ${url}`,
    env,
    deadlineMs: cloneDeadlineMs,
    signal: o.signal,
    onLine: seldom(o.progress),
    ...(credential === undefined ? {} : { secret: `username=${credential.username}\npassword=${credential.password}\n` }),
  };
  const which = isCommit ? ["--no-checkout"] : ref === undefined ? [] : [`--branch=${ref}`];
  // Others' repositories are read with the facility's rights, which is what the check of their owner is about.
  const near = schemeOf(url) === "file" ? ["--upload-pack=git -c safe.directory=* upload-pack"] : [];
  const git = program("git");
  await refuseOld(git);
  const fixed = ["clone", "--progress", "--template=", "--no-recurse-submodules", ...near, ...which];
  try {
    await runConfined(confinement, () => [git, ...fixed, "--", url, "."], options);
    if (isCommit)
      await runConfined(confinement, () => [git, "checkout", "--quiet", "--detach", ref, "--"], { ...options, what: `check out ${ref}` });
  } catch (error) {
    throw told(error, o);
  }
}

/** Older ones do not hear what they are told by their environment. @throws NexusError `runtime-missing` */
async function refuseOld(git: string): Promise<void> {
  const { output } = await runTool(git, ["--version"], { what: "ask git for its version", deadlineMs: 10_000 });
  const [, major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(output.toString())?.map(Number) ?? [];
  if (major > 2 || (major === 2 && minor >= 32)) return;
  throw new NexusError("runtime-missing", `${git} is git ${major}.${minor}; 2.32 or newer is needed`, { hint: "apt install git" });
}

/** The text is fixed; the secret is on descriptor 3, and can be read once. */
function credentialHelper(url: string): Record<string, string> {
  return { [`credential.${new URL(url).origin}.helper`]: '!f() { test "$1" = get && cat <&3; }; f' };
}

function refuseOpenCredential({ url, credential }: CloneOptions): void {
  if (credential === undefined) return;
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:" || (protocol === "http:" && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname))) return;
  throw new NexusError("not-permitted", `a credential is not sent over ${protocol.slice(0, -1)}, where others can read it`, {
    hint: "give the https address",
  });
}

/** Git's words on what went wrong, without those on how far it came, and what to do about it. */
function told(error: unknown, { url, ref, bytes, credential }: CloneOptions): unknown {
  if (!(error instanceof NexusError) || error.code !== "runtime-failed") return error;
  const lines = error.message.split("\n").filter((line) => /^(fatal|error|remote): (?!Enumerating|Counting|Compressing|Total)/.test(line));
  const message = lines.length === 0 ? error.message : [`cannot clone ${url}`, ...lines].join("\n");
  const refusal = (code: "not-permitted" | "runtime-failed", hint?: string) => new NexusError(code, message, { hint, cause: error });
  if (/No space left on device|File too large|unable to write file/i.test(message))
    return new NexusError("too-large", `${url} does not fit into ${bytes} bytes`, {
      hint: "give the facility a larger --size",
      cause: error,
    });
  if (ref !== undefined && /fatal: (Remote branch .* not found|reference is not a tree|unable to read tree)/.test(message))
    return new NexusError("not-found", `${url} has no branch, tag or commit ${ref}`, {
      hint: `\`git ls-remote ${url}\` lists what it has`,
      cause: error,
    });
  if (/could not read Username|Authentication failed|terminal prompts disabled|HTTP.* 40[13]/i.test(message))
    return refusal(
      "not-permitted",
      credential === undefined ? "give a token: --credential FILE, or - for standard input" : "the server did not take the credential",
    );
  if (schemeOf(url) === "file")
    return refusal("runtime-failed", "the facility's own uid must be able to read it, and pass every directory above it");
  return refusal("runtime-failed");
}

/** Git tells of every percent of what it does. */
function seldom(tell: (line: string) => void): (line: string) => void {
  let last = -Infinity;
  return (line) => {
    if (/\d%/.test(line) && performance.now() - last < 500) return;
    last = performance.now();
    tell(line);
  };
}

const cloneDeadlineMs = 30 * 60_000;
