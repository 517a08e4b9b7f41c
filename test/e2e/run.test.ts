import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import type { RunView } from "../../src/spec/run-view.ts";
import { processesWith } from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";

const program = fileURLToPath(new URL("../../nexus", import.meta.url));
/** Processes of this file's commands are known by it, also those that get away from their parents. */
const mark = 700_000 + (process.pid % 10_000) * 10;
let next = 0;
const markedSleep = () => `${mark}.${next++}`;
const alive = () => [...processesWith(`sleep ${mark}`).keys()];
const sleeping = () => [...processesWith(`sleep ${mark}`).values()].filter((line) => line.startsWith("sleep")).length;

for (const profile of ["host", "trusted", "untrusted"] as const)
  describe(`nexus run --profile ${profile}`, { timeout: 240_000 }, () => {
    let bed: Bed;
    let place: string;
    before(async () => {
      bed = await Bed.make();
      place = mkdtempSync("/var/tmp/nexus-run-");
    });
    after(async () => {
      await bed[Symbol.asyncDispose]();
      rmSync(place, { recursive: true, force: true });
    });
    const run = (...words: string[]) => bed.nexus("run", "--profile", profile, ...words);
    const sh = (script: string, ...flags: string[]) => run(...flags, "--", "sh", "-c", script);
    const start = (words: string[]) =>
      spawn(program, ["run", "--profile", profile, ...words], {
        stdio: "pipe",
        env: { ...process.env, NEXUS_SOCKET: bed.daemon.places.socket },
      });
    const newest = async (): Promise<RunView> => {
      const [run] = await bed.client.call("run.list", { query: { limit: 1 } });
      return run ?? assert.fail("no run");
    };
    const isRunning = (id?: string) =>
      until("the command runs", async () => {
        const found = id === undefined ? await newest() : await bed.client.call("run.get", { params: { id } });
        return found.state === "running" && sleeping() > 0;
      });
    const nothingLeft = async () => {
      assert.deepEqual(alive(), [], "no process is left");
      await until("its cgroup and directory are removed", () => leftovers(bed.daemon.places.stateDir).length === 0).catch(() =>
        assert.deepEqual(leftovers(bed.daemon.places.stateDir), []),
      );
    };

    test("bytes pass as they are, both ways and apart", async () => {
      const input = randomBytes(1_500_000);
      const child = start(["--", "sh", "-c", "cat; head -c 300000 /dev/zero >&2"]);
      child.stdin.end(input);
      const [out, err, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, "close") as Promise<[number]>]);
      assert.equal(code, 0);
      assert.equal(digest(out), digest(input));
      assert.equal(digest(err), digest(Buffer.alloc(300_000)));
      const { id } = await newest();
      const logs = spawn(program, ["run", "logs", id], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, NEXUS_SOCKET: bed.daemon.places.socket },
      });
      const kept = await Promise.all([buffer(logs.stdout), buffer(logs.stderr)]);
      assert.deepEqual(kept.map(digest), [digest(input), digest(Buffer.alloc(300_000))]);
    });

    test("its exit code is the command's, and what is not the command's own is told by a code of its own", async () => {
      const cases: [string[], number, RunView["state"], string][] = [
        [["--", "true"], 0, "succeeded", "ok"],
        [["--", "sh", "-c", "exit 7"], 7, "failed", "exit-code"],
        [["--", "sh", "-c", "kill -KILL $$"], 137, "failed", "signal"],
        [["--", "no-such-command"], 127, "failed", "exit-code"],
        [["--", "/etc"], 126, "failed", "exit-code"],
        [["--timeout", "300ms", "--", "sleep", markedSleep()], 124, "timed-out", "timeout"],
        [
          ["--timeout", "300ms", "--grace", "300ms", "--", "sh", "-c", `trap '' TERM; while :; do sleep ${markedSleep()}; done`],
          124,
          "timed-out",
          "timeout",
        ],
        [["--mem", "16", "--", "sh", "-c", "tail /dev/zero"], 137, "failed", "out-of-memory"],
      ];
      for (const [words, code, state, reason] of cases) {
        // A container's first process is ended by no signal from within, and told of the others' ends by a number alone.
        if (reason === "signal" && profile === "trusted") continue;
        const said = await run(...words);
        const view = await newest();
        const reasons = reason === "signal" && profile !== "host" ? "exit-code" : reason;
        assert.deepEqual([said.code, view.state, view.reason], [code, state, reasons], `${words.join(" ")}: ${said.err}`);
      }
      assert.match((await run("--", "no-such-command")).err, /^no-such-command: command not found$/m);
      await nothingLeft();
    });

    test("a sandbox that cannot be made is refused with 125 and the reason, and nothing weaker runs", async () => {
      for (const [words, problem] of [
        [["--profile", "darwin-automation"], /runs AppleScript .* this host is Linux/],
        [["--driver", "nothing"], new RegExp(`profile ${profile} has no driver nothing`)],
        [["--facility", "no-such-facility"], /there is no facility no-such-facility/],
      ] as const) {
        const said = await bed.nexus(
          "run",
          ...(words[0] === "--profile" ? [] : ["--profile", profile]),
          ...words,
          "--",
          "touch",
          join(place, "ran"),
        );
        assert.equal(said.code, 125, said.err);
        assert.match(said.err, problem);
        assert.equal((await newest()).state, "refused");
      }
      assert.ok(!existsSync(join(place, "ran")));
      const wrong = await run("--timeout", "0", "--mem", "1", "--env", "A=b", "--", "true");
      assert.equal(wrong.code, 2);
      assert.match(wrong.err, /--timeout: must be 1ms to 7d\n +--mem: must be 4 MiB to 16 TiB/);
      const missing = await bed.nexus("run");
      assert.deepEqual([missing.code, /it follows --/.test(missing.err)], [2, true]);
    });

    test("it works in the directory it was given, leaves there what it wrote, and nothing of the daemon is in its environment", async () => {
      writeFileSync(join(place, "given"), "from outside\n");
      const said = await sh("cat given; echo made >made; pwd", "--facility", place, "--env", "A=b c");
      assert.equal(said.code, 0, said.err);
      assert.equal(said.out, `from outside\n${profile === "host" ? place : "/workspace"}\n`);
      assert.equal(readFileSync(join(place, "made"), "utf8"), "made\n");
      assert.deepEqual(readdirSync(place).toSorted(), ["given", "made"]);
      const names = (await run("--env", "A=b c", "--", "env")).out.split("\n").filter((line) => line !== "");
      const known = /^(PATH=\/usr\/local|HOME=|LANG=C\.UTF-8$|A=b c$|PWD=|SHLVL=|_=)/;
      assert.deepEqual(
        names.filter((line) => !known.test(line)),
        [],
      );
    });

    test("cancelled, it is gone within a second with all it ever started", async () => {
      const sleeps = [markedSleep(), markedSleep(), markedSleep()];
      const script = `trap '' TERM HUP INT; setsid sleep ${sleeps[0]} & (setsid sh -c 'trap "" TERM; sleep ${sleeps[1]} & wait' &); sleep ${sleeps[2]}; wait`;
      const { out: id } = await sh(script, "--detach");
      await until("all of it runs", () => sleeping() >= 3);
      const since = performance.now();
      const view = await bed.client.call("run.cancel", { params: { id: id.trim() } });
      const took = performance.now() - since;
      assert.deepEqual(alive(), []);
      assert.ok(took < 1000, `it took ${Math.round(took)} ms`);
      assert.deepEqual([view.state, view.reason], ["cancelled", "asked"]);
      assert.equal(
        (await bed.client.call("run.cancel", { params: { id: view.id } })).endedAt,
        view.endedAt,
        "once ended, it stays as it is",
      );
      await nothingLeft();
    });

    test("what it leaves running is killed when it ends by itself", async () => {
      const said = await sh(`(setsid sleep ${markedSleep()} &); sleep 0.2; exit 3`);
      assert.equal(said.code, 3);
      assert.deepEqual(alive(), []);
      await nothingLeft();
    });

    test("Ctrl-C cancels, and so does a client that goes away; a detached run stays", async () => {
      for (const [how, reason, code] of [
        ["SIGINT", "asked", profile === "trusted" ? 137 : 130],
        ["SIGTERM", "asked", profile === "trusted" ? 137 : 143],
        ["SIGKILL", "client-gone", null],
      ] as const) {
        const child = start(["--", "sleep", markedSleep()]);
        await isRunning();
        const exited = once(child, "exit") as Promise<[number | null]>;
        child.kill(how);
        assert.equal((await exited)[0], code, how);
        const { id } = await newest();
        const view = await bed.client.call("run.get", { params: { id }, query: { wait: 10 } });
        assert.deepEqual([view.state, view.reason], ["cancelled", reason], how);
        assert.deepEqual(alive(), []);
      }
      const { out } = await run("--detach", "--", "sleep", markedSleep());
      await isRunning(out.trim());
      assert.equal((await bed.nexus("run", "cancel", out.trim())).code, 0);
      await nothingLeft();
    });

    test("past the output limit the command goes on, its beginning and end are kept, and that is said", async () => {
      const said = await sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", "--output-limit", "20K");
      const whole = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join("");
      assert.equal(said.code, 0);
      assert.equal(said.out, whole.slice(0, 20_480));
      assert.match(said.err, /stdout came to 204 KiB, more than the limit of 20 KiB/);
      const view = await newest();
      assert.deepEqual(view.output.stdout, { bytes: whole.length, dropped: whole.length - 20_480 });
      const kept = await bed.nexus("run", "logs", view.id);
      assert.equal(kept.out, whole.slice(0, 10_240) + whole.slice(-10_240));
      assert.match(kept.err, /184 KiB in the middle of stdout were not kept/);
    });

    test("a client that reads slowly holds the command back, and the daemon keeps nothing for it", async () => {
      const bytes = 200 * 1024 * 1024;
      const before = memoryOf(bed.daemon.pid);
      const child = start(["--output-limit", "1G", "--", "sh", "-c", `head -c ${bytes} /dev/zero`]);
      const closed = once(child, "close") as Promise<[number]>;
      let seen = -1;
      await until("it runs", async () => (await newest()).state === "running");
      await until("it is held back", async () => {
        const { bytes: now } = (await newest()).output.stdout;
        const held = now > 0 && now === seen;
        seen = now;
        if (!held) await new Promise((resolve) => setTimeout(resolve, 100));
        return held;
      });
      assert.ok(seen < 8 * 1024 * 1024, `${seen} bytes were taken though nobody reads`);
      const hash = createHash("sha256");
      let length = 0;
      let most = 0;
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        hash.update(chunk);
        length += chunk.length;
        most = Math.max(most, memoryOf(bed.daemon.pid));
      }
      assert.deepEqual([(await closed)[0], length], [0, bytes]);
      assert.equal(hash.digest("hex"), digest(Buffer.alloc(bytes)));
      assert.ok(most - before < 80 * 1024 * 1024, `the daemon grew by ${Math.round((most - before) / 1048576)} MiB`);
      await bed.nexus("run", "rm", (await newest()).id);
    });

    test("runs are listed, described, followed and forgotten", async () => {
      const { out } = await sh("echo one; sleep 0.5; echo two; echo three >&2", "--detach", "--env", "TOKEN=secret-value");
      const id = out.trim();
      const followed = await bed.nexus("run", "logs", id.slice(0, 9), "--follow");
      assert.deepEqual([followed.out, followed.err], ["one\ntwo\n", "three\n"]);
      assert.match((await bed.nexus("run", "ls")).out, new RegExp(`^${id} +succeeded +0 +${profile}`, "m"));
      const told = await bed.nexus("run", "inspect", id);
      assert.match(told.out, /^state: +succeeded$/m);
      assert.match(told.out, /^variables: +TOKEN$/m);
      assert.equal((await bed.nexus("run", "rm", id)).out, `${id}\n`);
      assert.equal((await bed.nexus("run", "inspect", id)).code, 4);
      assert.match((await bed.nexus("run", "prune")).out, /^\d+ runs? forgotten$/m);
      assert.deepEqual(await bed.client.call("run.list"), []);
      assert.deepEqual(readdirSync(join(bed.daemon.places.stateDir, "runs")), []);
      const events = JSON.stringify(await bed.daemon.eventsSince(0));
      assert.ok(!events.includes("secret-value"));
      assert.ok(!readFileSync(join(bed.daemon.places.stateDir, "nexus.db"), "latin1").includes("secret-value"));
      assert.match(events, /"run\.started"/);
      const json = JSON.parse((await bed.nexus("run", "--json", "--profile", profile, "--", "echo", "hi")).out) as RunView & {
        stdout: string;
      };
      assert.deepEqual([json.state, json.code, json.stdout], ["succeeded", 0, "hi\n"]);
    });

    test("a daemon that dies takes its runs along: each is lost, once, and nothing of it is left", async () => {
      const script = `(setsid sleep ${markedSleep()} &); echo begun; sleep ${markedSleep()}`;
      const { out } = await sh(script, "--detach", "--facility", place);
      const id = out.trim();
      const child = start(["--", "sh", "-c", `trap '' HUP; sleep ${markedSleep()}`]);
      const watched = once(child, "exit") as Promise<[number]>;
      await until("all of it runs", () => sleeping() >= 3);
      await bed.daemon.crashAndStart();
      assert.equal((await watched)[0], 125, "who watched is told");
      const views = await bed.client.call("run.list", { query: { limit: 2 } });
      assert.deepEqual(
        views.map((view) => [view.state, view.reason]),
        [
          ["lost", "daemon-died"],
          ["lost", "daemon-died"],
        ],
      );
      await until("all of it is dead", () => alive().length === 0);
      await nothingLeft();
      assert.equal((await bed.nexus("run", "logs", id)).out, "begun\n");
      const lost = (await bed.daemon.eventsSince(0)).filter((event) => event.kind === "run.lost");
      assert.equal(lost.length, 2);
      assert.equal((await run("--", "true")).code, 0);
    });

    test("a daemon that is stopped ends its runs first, and says why", async () => {
      const child = start(["--", "sleep", markedSleep()]);
      const err = text(child.stderr);
      const exited = once(child, "exit");
      await isRunning();
      await bed.daemon.end("SIGTERM");
      await exited;
      assert.match(await err, /cancelled: nexusd ends/);
      const told = /"runs":\["[0-9a-f]+"\],"msg":"nexusd ends; guests and networks stay, runs under way are cancelled: 1"/;
      assert.ok(told.test(readFileSync(bed.daemon.places.log, "utf8")), "it says whose end its own is");
      assert.deepEqual(alive(), []);
      await bed.daemon.start();
      const view = await newest();
      assert.deepEqual([view.state, view.reason], ["cancelled", "daemon-stopped"]);
      await nothingLeft();
    });
  });

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Cgroups of runs, and sandboxes in their directories. */
function leftovers(stateDir: string): string[] {
  const trees = readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}/nexus-runs`);
  const ours = new Set(existsSync(join(stateDir, "runs")) ? readdirSync(join(stateDir, "runs")) : []);
  const groups = trees.flatMap((tree) =>
    existsSync(tree)
      ? readdirSync(tree, { withFileTypes: true }).flatMap((entry) =>
          entry.isDirectory() && ours.has(entry.name) ? [`${tree}/${entry.name}`] : [],
        )
      : [],
  );
  return [...groups, ...[...ours].map((id) => join(stateDir, "runs", id, "sandbox")).filter((path) => existsSync(path))];
}
