import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunView } from "../../src/spec/run-view.ts";
import { alice, bob, homeOf, superuser, UserBed } from "./user-bed.ts";

test(
  "an ordinary user runs a command in a sandbox with nothing set up, and nothing weaker in its place",
  { timeout: 240_000 },
  async () => {
    await using bed = await UserBed.make();
    const run = (...words: string[]) => bed.run(alice, ["./nexus", "run", ...words]);

    const first = run("--", "sh", "-c", "id -u; ls -A ~; exit 3");
    assert.equal(first.code, 3, first.stderr);
    assert.match(first.stderr, /^nexus: starting a daemon of your own \(user 64201\)$/m);
    assert.equal(first.stderr.match(/^nexus: --mem and --pids held for each process by itself, --cpus not at all/gm)?.length, 1);
    const whole = run("--json", "--", "true");
    assert.equal((JSON.parse(whole.stdout) as RunView).limitedBy, "rlimits");
    assert.equal(whole.stderr, "");

    const place = `${homeOf(alice)}/work`;
    assert.equal(bed.run(alice, ["mkdir", place]).code, 0);
    const wrote = run("--facility", place, "--", "sh", "-c", "echo made >made; pwd");
    assert.deepEqual([wrote.code, wrote.stdout], [0, "/workspace\n"], wrote.stderr);
    assert.equal(bed.run(superuser, ["stat", "-c", "%u %s", `${place}/made`]).stdout, `${alice.uid} 5\n`);

    const denied = run("--allow", "good.example:443", "--", "curl", "-sS", "https://bad.example/");
    assert.match(denied.stderr, /response 403[^]*1 connection was refused/);
    const [judged] = bed.asked<RunView[]>(alice, "run ls");
    const audit = bed.nexus(alice, `run logs ${judged?.id} --audit`).stdout;
    assert.match(audit, /"name":"bad\.example","port":443,.*"decision":"deny","reason":"NOT_IN_ALLOWLIST"/);

    for (const [words, problem] of [
      [["--profile", "host"], /^nexus: plain processes need root's daemon[^\n]*\n +profile untrusted [^\n]* works for every user$/m],
      [["--driver", "qemu"], /^nexus: a virtual machine for one command[^\n]* needs root's daemon\n +profile untrusted/m],
      [["--profile", "trusted"], /containers of the trusted profile need root's daemon/],
      [["--facility", homeOf(alice)], /holds .*, where Nexus keeps its state/],
      [["--facility", homeOf(bob)], /belongs to user 64202, not to you|cannot be used \(EACCES\)/],
      [["--facility", "/etc"], /the facility \/etc belongs to user 0, not to you/],
    ] as const) {
      const refused = run(...words, "--", "touch", `${place}/ran`);
      assert.ok(refused.code === 125 || refused.code === 2, `${words.join(" ")}: ${refused.code}`);
      assert.match(refused.stderr, problem);
    }
    assert.equal(bed.run(superuser, ["ls", place]).stdout, "made\n");
    assert.equal(run("--timeout", "500ms", "--", "sleep", "60").code, 124);

    const open = bed.run(superuser, ["find", `${homeOf(alice)}/.local`, "-not", "-type", "l", "-perm", "/077"]);
    assert.deepEqual([open.stdout, open.stderr], ["", ""], "nothing there is anybody else's to read");
    assert.equal(bed.nexus(bob, "run ls --no-start").code, 3, "another user's runs are another daemon's");
  },
);
