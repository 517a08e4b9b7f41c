import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { environmentOf } from "../../src/daemon/run-environment.ts";
import { excludes, placeOf } from "../../src/daemon/run-place.ts";
import { runSpec, type RunSpecInput } from "../../src/spec/run.ts";

const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];

test("a facility is a directory by its real path, and the command begins where it was told inside", () => {
  using bed = tree();
  const owner = { uid, gid };
  const source = bed.at("mine");
  assert.deepEqual(place(bed, { facility: bed.at("mine") }), {
    workspace: { source, target: "/workspace", owner },
    cwd: "/workspace",
    home: "/workspace",
  });
  assert.equal(place(bed, { facility: bed.at("link-to-mine") }).workspace?.source, source);
  for (const [cwd, seen] of [
    ["sub", "/workspace/sub"],
    ["/workspace/sub/../sub", "/workspace/sub"],
    ["inside", "/workspace/sub"],
    [".", "/workspace"],
  ] as const)
    assert.equal(place(bed, { facility: source, cwd }).cwd, seen, cwd);
  assert.equal(place(bed, { facility: source, cwd: "sub", profile: "host" }).cwd, join(source, "sub"));
  assert.equal(place(bed, { facility: source, cwd: join(source, "sub"), profile: "host" }).cwd, join(source, "sub"));
});

test("a directory or a place in it that leads elsewhere is refused, with what is wrong", () => {
  using bed = tree();
  const facility = bed.at("mine");
  const refused: [Partial<RunSpecInput>, RegExp][] = [
    [{ facility: bed.at("nothing") }, /facility: .*nothing does not exist/],
    [{ facility: bed.at("mine/file") }, /facility: .*file is no directory/],
    [{ facility: "/" }, /root directory cannot be a facility/],
    [{ facility: "/etc" }, /\/etc is part of the host's system/],
    [{ facility: "/usr/share" }, /is part of the host's system/],
    [{ facility: "/var" }, /is part of the host's system/],
    [{ facility: bed.at("state") }, /where Nexus keeps its state/],
    [{ facility: bed.at("state/below") }, /where Nexus keeps its state/],
    [{ facility: bed.path }, /where Nexus keeps its state/],
    [{ facility, cwd: "out" }, /cwd: out leads out of the facility, to /],
    [{ facility, cwd: "out/etc" }, /cwd: out\/etc leads out of the facility/],
    [{ facility, cwd: ".." }, /cwd: \.\. leads out of the facility/],
    [{ facility, cwd: "/etc" }, /cwd: \/etc is not inside the facility, which the command sees as \/workspace/],
    [{ facility, cwd: "/workspace-2" }, /is not inside the facility/],
    [{ facility, cwd: "gone" }, /cwd: .*gone does not exist/],
    [{ facility, cwd: "file" }, /cwd: file is no directory/],
    [{ cwd: "sub" }, /cwd: is relative to a facility, and the run has none/],
  ];
  for (const [asked, problem] of refused) assert.throws(() => place(bed, asked), problem, JSON.stringify(asked));
});

test("another user's directory is refused, also by a link of one's own; to root it is open", () => {
  using bed = tree();
  const stranger = { uid: uid + 1, gid };
  for (const facility of [bed.at("mine"), bed.at("link-to-mine")])
    assert.throws(
      () => place(bed, { facility }, stranger),
      (error) => error instanceof NexusError && error.code === "not-permitted" && /belongs to user/.test(error.message),
    );
  assert.equal(place(bed, { facility: bed.at("mine") }, { uid: 0, gid: 0 }).workspace?.source, bed.at("mine"));
});

test("the environment is built from nothing: what the daemon has is not in it, what was asked wins", () => {
  process.env["NEXUS_TEST_SECRET"] = "s";
  const base = environmentOf(runSpec.parse({ command: ["true"] }), { home: "/tmp", proxyPort: undefined });
  assert.deepEqual(base, { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/tmp", LANG: "C.UTF-8" });
  const spec = runSpec.parse({ command: ["true"], env: { LANG: "de_DE.UTF-8", A: "b=c" }, terminal: { columns: 80, rows: 24 } });
  const full = environmentOf(spec, { home: "/workspace", proxyPort: 9080 });
  assert.deepEqual(Object.keys(full).toSorted(), [
    "A",
    "ALL_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NO_PROXY",
    "PATH",
    "TERM",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
  ]);
  assert.deepEqual(
    [full["LANG"], full["A"], full["https_proxy"], full["ALL_PROXY"]],
    ["de_DE.UTF-8", "b=c", "http://127.0.0.1:9080", "socks5h://127.0.0.1:9080"],
  );
  delete process.env["NEXUS_TEST_SECRET"];
});

function place(bed: { path: string }, asked: Partial<RunSpecInput>, caller = { uid, gid }) {
  const spec = runSpec.parse({ command: ["true"], ...asked });
  return placeOf({ spec, caller, held: undefined, own: [join(bed.path, "state")] });
}

/** Directories with links in them that lead in and out. */
function tree() {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "nexus-place-")));
  const at = (name: string) => join(path, name);
  for (const name of ["mine/sub", "state/below", "others"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at("mine/file"), "");
  symlinkSync(at("mine"), at("link-to-mine"));
  symlinkSync("sub", at("mine/inside"));
  symlinkSync("/", at("mine/out"));
  return { path, at, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test("a virtual machine has its directory for itself, and what is above and below it", () => {
  const [vm, plain] = [(source: string) => ({ source, alone: true }), (source: string) => ({ source, alone: false })];
  for (const there of ["/w", "/w/sub", "/w/sub/sub"]) {
    assert.ok(excludes(vm("/w/sub"), plain(there)), there);
    assert.ok(excludes(plain(there), vm("/w/sub")), there);
    assert.ok(!excludes(plain(there), plain("/w/sub")), there);
  }
  for (const there of ["/", "/w/subway", "/x"]) assert.ok(!excludes(vm("/w/sub"), plain(there)), there);
});
