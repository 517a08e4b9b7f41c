import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import type { FacilityDiffView, FacilityView } from "../../src/spec/views.ts";
import { fakeDaemon } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";

const work = {
  name: "work",
  state: "ready",
  path: "/run/nexus/facilities/work/work",
  sizeBytes: 2 * 1024 ** 3,
  usedBytes: 1536,
  limit: "disk",
  uid: 2013265921,
  clone: { url: "https://example.org/p.git", ref: "main" },
  epoch: 3,
  createdAt: "2026-01-01T00:00:00Z",
  labels: { team: "blue" },
} as unknown as FacilityView;

const diff = (patch: string, more: Partial<FacilityDiffView> = {}): FacilityDiffView => ({
  since: "create",
  patch: Buffer.from(patch).toString("base64"),
  truncated: false,
  files: [{ path: "a\u001b[31m", added: 1, removed: 2 }, { path: "bin" }],
  leftOut: [{ path: "pipe\u001b", why: "is a pipe" }],
  leftOutCount: 3,
  ...more,
});

describe("nexus facility", { timeout: 60_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-facility-cli-"));
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("create sends what it is told, and a credential from a file or a pipe only", async () => {
    const asked: unknown[] = [];
    await using daemon = await fakeDaemon({
      "facility.create": async ({ body }, { progress }) => {
        asked.push(body);
        progress("Cloning");
        return work;
      },
    });
    const clone = ["facility", "create", "work", "--clone", "https://example.org/p.git"];
    writeFileSync(join(directory, "token"), "me:s3cret:word\n");
    const ran = await nexus(daemon.socketPath, [
      ...clone,
      "--ref",
      "main",
      "--size",
      "2G",
      "--label",
      "team=blue",
      "--credential",
      join(directory, "token"),
    ]);
    assert.deepEqual(ran, { code: 0, stdout: "work  2 GiB  /run/nexus/facilities/work/work\n", stderr: "Cloning\n" });
    await nexus(daemon.socketPath, [...clone, "--credential", "-"], "t0ken\n");
    const spec = { name: "work", clone: { url: "https://example.org/p.git", ref: "main" }, size: 2 * 1024 ** 3, labels: { team: "blue" } };
    assert.deepEqual(asked, [
      { ...spec, credential: { username: "me", password: "s3cret:word" } },
      { ...spec, clone: { url: spec.clone.url }, size: 1024 ** 3, labels: {}, credential: { username: "git", password: "t0ken" } },
    ]);
    for (const words of [
      ["--ref", "main"],
      ["--credential", "-"],
    ])
      assert.equal((await nexus(daemon.socketPath, ["facility", "create", "x", ...words])).code, 2);
    assert.equal((await nexus(daemon.socketPath, [...clone, "--credential", join(directory, "absent")])).code, 4);
    assert.equal((await nexus(daemon.socketPath, [...clone, "--credential", "-"], "two\nlines\n")).code, 2);
    const leaked = await nexus(daemon.socketPath, ["facility", "create", "x", "--clone", "https://me:s3cret@example.org/p.git"]);
    assert.equal(leaked.code, 2);
    assert.doesNotMatch(leaked.stderr, /s3cret/);
    assert.equal(asked.length, 2);
  });

  it("ls and inspect show what there is", async () => {
    const held = { ...work, lock: { run: "run-7", since: new Date().toISOString() } };
    await using daemon = await fakeDaemon({ "facility.list": async () => [held], "facility.get": async () => held });
    assert.match(
      (await nexus(daemon.socketPath, ["facility", "ls"])).stdout,
      /^NAME +STATE.*\nwork +ready +2 GiB +1\.5 KiB +run-7 +\d+d +https:\/\/example.org\/p.git\n$/,
    );
    const shown = (await nexus(daemon.socketPath, ["facility", "inspect", "work"])).stdout;
    for (const line of [/^run: +run-7, for \ds$/m, /^clone of: +https:\/\/example.org\/p.git \(main\)$/m, /^files of: +uid 2013265921$/m])
      assert.match(shown, line);
  });

  it("rm takes many, and unlock wants to be meant", async () => {
    const unlocked: string[] = [];
    await using daemon = await fakeDaemon({
      "facility.remove": async ({ params, query }) => {
        if (params.name === "b" && !query.force) throw new NexusError("in-use", "run r has facility b");
        return { removed: [params.name] };
      },
      "facility.unlock": async ({ params }) => {
        unlocked.push(params.name);
        return work;
      },
    });
    assert.deepEqual(await nexus(daemon.socketPath, ["facility", "rm", "a", "b", "c"]), {
      code: 5,
      stdout: "a\nc\n",
      stderr: "nexus: run r has facility b\n",
    });
    assert.equal((await nexus(daemon.socketPath, ["facility", "rm", "b", "--force"])).code, 0);
    assert.equal((await nexus(daemon.socketPath, ["facility", "unlock", "work"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["facility", "unlock", "work", "--force"])).code, 0);
    assert.deepEqual(unlocked, ["work"]);
  });

  it("diff prints the patch and nothing else, or puts it into a file, or lists the files without what rules a terminal", async () => {
    const asked: unknown[] = [];
    await using daemon = await fakeDaemon({
      "facility.diff": async ({ query }) => {
        asked.push(query);
        return query.limit === 0 ? diff("", { truncated: true }) : diff("diff --git a/a b/a\n", { truncated: query.since === "run" });
      },
    });
    const printed = await nexus(daemon.socketPath, ["facility", "diff", "work"]);
    assert.deepEqual([printed.code, printed.stdout], [0, "diff --git a/a b/a\n"]);
    assert.equal(printed.stderr, "nexus: left out: pipe\u{fffd} is a pipe\nnexus: left out: 2 more\n");
    const file = join(directory, "patch");
    const kept = await nexus(daemon.socketPath, ["facility", "diff", "work", "--since", "run", "--limit", "64K", "-o", file]);
    assert.deepEqual([kept.stdout, readFileSync(file, "utf8")], ["", "diff --git a/a b/a\n"]);
    assert.match(kept.stderr, /the patch is not whole/);
    const stat = await nexus(daemon.socketPath, ["facility", "diff", "work", "--stat"]);
    assert.equal(stat.stdout, "+1      -2  a\u{fffd}[31m\nbinary      bin\n");
    assert.doesNotMatch(stat.stderr, /not whole/);
    assert.deepEqual(asked, [
      { since: "create", limit: 16 * 1024 * 1024 },
      { since: "run", limit: 65_536 },
      { since: "create", limit: 0 },
    ]);
    const list = JSON.parse((await nexus(daemon.socketPath, ["facility", "diff", "work", "--stat", "--json"])).stdout) as object;
    assert.deepEqual(Object.keys(list).toSorted(), ["files", "leftOut", "leftOutCount", "since"]);
    assert.equal((await nexus(daemon.socketPath, ["facility", "diff", "work", "--since", "ever"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["facility", "diff", "work", "--limit", "much"])).code, 2);
  });

  it("artifacts are put below the directory and nowhere else, without set-user-id, and not through links", async () => {
    const files = [
      { path: "dist/x/a.js", sizeBytes: 5, mode: 0o755 },
      { path: "empty", sizeBytes: 0, mode: 0o600 },
    ];
    let answered = files;
    await using daemon = await fakeDaemon({
      "facility.artifacts": async ({ body }) => {
        assert.deepEqual(body, { globs: ["dist", "**/*.log"], files: 10_000, bytes: 1024 ** 3 });
        return { files: answered, leftOut: [{ path: "link", why: "is a link" }], leftOutCount: 1 };
      },
      "facility.read": async ({ query }) =>
        (async function* () {
          assert.deepEqual([query.path, query.limit], ["/dist/x/a.js", 5]);
          yield Buffer.from("hello");
        })(),
    });
    const to = join(directory, "out");
    const words = ["facility", "artifacts", "work", "dist", "**/*.log", "--to", to];
    const ran = await nexus(daemon.socketPath, words);
    assert.deepEqual([ran.code, ran.stdout], [0, "dist/x/a.js\nempty\n"]);
    assert.match(ran.stderr, /left out: link is a link/);
    assert.deepEqual([readFileSync(join(to, "dist/x/a.js"), "utf8"), statSync(join(to, "dist/x/a.js")).mode & 0o7777], ["hello", 0o755]);
    assert.equal(statSync(join(to, "empty")).size, 0);
    for (const path of ["../out-of-it", "/etc/x", "a/../../b", "a//b", "a/./b", ""]) {
      answered = [{ path, sizeBytes: 0, mode: 0o644 }];
      assert.notEqual((await nexus(daemon.socketPath, words)).code, 0, path);
    }
    assert.equal(existsSync(join(directory, "out-of-it")), false);
    mkdirSync(join(directory, "elsewhere"));
    symlinkSync(join(directory, "elsewhere"), join(to, "way"));
    for (const path of ["way/file", "way"]) {
      answered = [{ path, sizeBytes: 0, mode: 0o644 }];
      assert.equal((await nexus(daemon.socketPath, words)).code, 5, path);
    }
    assert.equal(existsSync(join(directory, "elsewhere/file")), false);
    answered = [];
    assert.match((await nexus(daemon.socketPath, words)).stderr, /nothing in work matches dist \*\*\/\*\.log/);
    assert.equal((await nexus(daemon.socketPath, ["facility", "artifacts", "work", "dist"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["facility", "artifacts", "work", "../x", "--to", to])).code, 2);
  });

  it("the tools read, write and tell of changes", async () => {
    const asked: unknown[] = [];
    await using daemon = await fakeDaemon({
      "facility.read": async ({ query }) =>
        Object.assign(
          (async function* () {
            asked.push(query);
            yield Buffer.from("hello");
          })(),
          { headers: { "nexus-file-size": "9" } },
        ),
      "facility.write": async ({ body }) => {
        asked.push({ ...body, content: body.content.toString() });
        return { name: "a", kind: "file", sizeBytes: 5, mode: 0o644, modifiedAt: "" };
      },
      "facility.diff": async () => diff("+\u00ff"),
    });
    const read = await nexus(daemon.socketPath, ["mcp", "facility_read", "--facility", "work", "--path", "src/a", "--limit", "5"]);
    assert.deepEqual(read, { code: 0, stdout: "hello", stderr: "nexus: bytes 0 to 5 of 9; the file goes on: read again with offset 5\n" });
    const written = await nexus(daemon.socketPath, [
      "mcp",
      "facility_write",
      "--facility",
      "work",
      "--path",
      "/src/a",
      "--content",
      "hello",
    ]);
    assert.deepEqual(JSON.parse(written.stdout), { facility: "work", path: "/src/a", size: 5, mode: "644" });
    assert.deepEqual(asked, [
      { path: "/src/a", offset: 0, limit: 5 },
      { path: "/src/a", content: "hello", how: "replace", sync: true },
    ]);
    const { files, patch, left_out_count } = JSON.parse(
      (await nexus(daemon.socketPath, ["mcp", "facility_diff", "--facility", "work"])).stdout,
    ) as Record<string, unknown>;
    assert.deepEqual(
      [files, patch, left_out_count],
      [
        [
          { path: "a\u001b[31m", added: 1, removed: 2 },
          { path: "bin", binary: true },
        ],
        "+\u00ff",
        3,
      ],
    );
  });
});
