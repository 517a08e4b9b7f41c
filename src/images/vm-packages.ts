import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { aptCause } from "../base/apt-cause.ts";
import { NexusError } from "../base/errors.ts";

export type PackageTree = Disposable & { directory: string; packages: string[] };

/**
 * Fetches Debian packages into `cache` with the host's apt, which checks what it gets against the signed archive, and unpacks
 * them into a new directory below it. Nothing is installed, and no right is needed but to write there.
 * @throws NexusError `image-missing` with the words of the program that failed
 */
export async function unpackPackages(
  cache: string,
  names: readonly string[],
  options: { progress: (line: string) => void; signal: AbortSignal },
): Promise<PackageTree> {
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  const directory = mkdtempSync(join(cache, ".unpacking-"));
  using stack = new DisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const wanted = await closureOf(names, options.signal);
  const missing = wanted.filter((wish) => !existsSync(join(cache, fileOf(wish))));
  if (missing.length > 0) {
    options.progress(`fetching ${missing.map((wish) => wish.name).join(", ")}`);
    const fetched = mkdtempSync(join(cache, ".fetching-"));
    stack.defer(() => rmSync(fetched, { recursive: true, force: true }));
    await run("apt-get", ["download", "-q", ...missing.map((wish) => `${wish.name}=${wish.version}`)], {
      cwd: fetched,
      signal: options.signal,
    });
    for (const file of readdirSync(fetched)) renameSync(join(fetched, file), join(cache, file));
  }
  for (const wish of wanted) await run("dpkg-deb", ["-x", join(cache, fileOf(wish)), directory], options);
  const cleanup = stack.move();
  return { directory, packages: wanted.map(fileOf), [Symbol.dispose]: () => cleanup.dispose() };
}

/** The package the newest kernel for virtual machines is in. @throws NexusError */
export async function cloudKernelPackage(signal: AbortSignal): Promise<string> {
  const said = await run("apt-cache", ["depends", "--important", "linux-image-cloud-amd64"], { signal });
  const found = /Depends: (linux-image-[\w.+-]+)/.exec(said)?.[1];
  if (found === undefined) throw missing("linux-image-cloud-amd64 names no kernel");
  return found;
}

type Wish = { name: string; version: string; architecture: string };

/** How apt-get names the file of a package. */
function fileOf(wish: Wish): string {
  return `${wish.name}_${wish.version.replaceAll(":", "%3a")}_${wish.architecture}.deb`;
}

/** The packages and the libraries they need, with the versions apt would install. Nothing else they depend on is of use in there. */
async function closureOf(names: readonly string[], signal: AbortSignal): Promise<Wish[]> {
  const all = new Set<string>();
  for (let level = [...names]; level.length > 0;) {
    for (const name of level) all.add(name);
    const said = await run("apt-cache", ["depends", "--important", ...level], { signal });
    const libraries = [...said.matchAll(/^ {2}(?:Pre)?Depends: (z?lib[\w.+-]+)$/gm)].map((match) => match[1] ?? "");
    level = [...new Set(libraries)].filter((name) => !all.has(name));
  }
  const shown = await run("apt-cache", ["show", "--no-all-versions", ...all], { signal });
  return shown
    .split("\n\n")
    .map((stanza) => ({ name: field(stanza, "Package"), version: field(stanza, "Version"), architecture: field(stanza, "Architecture") }))
    .filter((wish) => wish.name !== "")
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function field(stanza: string, name: string): string {
  return new RegExp(`^${name}: (\\S+)$`, "m").exec(stanza)?.[1] ?? "";
}

async function run(program: string, args: readonly string[], options: { cwd?: string; signal: AbortSignal }): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
      maxBuffer: 16 * 1024 * 1024,
      timeout: 300_000,
      signal: options.signal,
    });
    return stdout;
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT") throw missing(`there is no ${program} here`, error);
    const said = stderr ?? String(error);
    throw missing(`${program} ${args[0] ?? ""} failed: ${aptCause(said)}`, error, { said: said.slice(0, 4000) });
  }
}

function missing(problem: string, cause?: unknown, details: Record<string, unknown> = {}): NexusError {
  return new NexusError("image-missing", `the mini virtual machine is built from Debian packages, and ${problem}`, {
    hint: `it needs their archive in reach, and fresh lists of it: ${process.getuid?.() === 0 ? "" : "sudo "}apt-get update`,
    cause,
    details,
  });
}
