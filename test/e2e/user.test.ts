import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { alice, bob, group, homeOf, type Person, shared, superuser, UserBed } from "./user-bed.ts";

type Info = { pid: number; scope: string; socket: string; stateDir: string; guests: { total: number } };
type Vm = { name: string; state: string; pid: number; sshPort: number; acceleration: { kind: string } };
type Failure = { error: { code: string; message: string; hint: string } };

test("an ordinary user has virtual machines without root: made, reached, kept and removed", { timeout: 240_000 }, async () => {
  await using bed = await UserBed.make();
  const vm = () => bed.asked<Vm>(alice, "vm inspect web");

  const made = bed.nexus(alice, "vm create web --mem 128 --publish 8080:80 --restart always");
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /^nexus: starting a daemon of your own \(user 64201\)$/m);
  const info = bed.asked<Info>(alice, "info");
  assert.deepEqual([info.scope, info.socket], ["user", `${homeOf(alice)}/.local/state/nexus/run/nexusd.sock`]);
  assert.match(bed.nexus(alice, "info").stdout, /^whose: +a user's own/m);
  assert.equal(bed.run(superuser, ["ps", "-o", "uid=", String(vm().pid)]).stdout.trim(), String(alice.uid));

  await until("its agent answers", () => bed.nexus(alice, "vm exec web -- true").code === 0);
  assert.equal(bed.nexus(alice, "vm exec web -- sh -c echo${IFS}in;exit${IFS}3").code, 3);
  const page = "mkdir /www && echo from inside >/www/index.html && httpd -p 80 -h /www";
  assert.equal(bed.run(alice, ["./nexus", "vm", "exec", "web", "--", "sh", "-c", page]).code, 0);
  const fetched = () => bed.run(bob, ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]).stdout;
  await until("its page is served on the host", () => fetched() === "from inside\n");
  await throughConsole(bed);

  const before = vm().pid;
  process.kill(info.pid, "SIGKILL");
  assert.equal(vm().pid, before, "the next command starts a daemon, which finds what runs");
  assert.notEqual(bed.asked<Info>(alice, "info").pid, info.pid);
  assert.match(bed.nexus(alice, "events").stdout, /vm\.adopted +web/);
  assert.equal(fetched(), "from inside\n");

  process.kill(before, "SIGKILL");
  await until("its restart policy brings it back", () => vm().state === "running" && vm().pid !== before);
  assert.equal(bed.nexus(alice, "vm stop web --grace 1").code, 0);
  assert.equal(vm().state, "stopped");
  assert.equal(bed.nexus(alice, "vm start web").code, 0);
  assert.notEqual(bed.nexus(alice, "vm logs web").code, 1);

  const doctor = bed.asked<{ ok: boolean; checks: { name: string; ok: string; detail: string }[] }>(alice, "doctor");
  assert.deepEqual(
    doctor.checks.map((check) => check.name),
    [
      "rights",
      "virtual-machines",
      "user-namespaces",
      "apparmor-userns",
      "seccomp",
      "bubblewrap",
      "bubblewrap-links",
      "sandbox-root",
      "cgroup-delegation",
      "sandbox-untrusted",
      "state-directory",
      "socket-path",
      "daemon",
    ],
  );
  assert.equal(doctor.ok, true);
  assert.match(doctor.checks[0]?.detail ?? "", /a daemon of user 64201: virtual machines in user mode/);

  const open = bed.run(superuser, ["find", `${homeOf(alice)}/.local`, "-not", "-type", "l", "-perm", "/077"]);
  assert.deepEqual([open.stdout, open.stderr], ["", ""], "nothing there is anybody else's to read");
  assert.equal(bed.nexus(alice, "vm rm web --force").code, 0);
  assert.equal(bed.run(superuser, ["ls", `${homeOf(alice)}/.local/state/nexus/guests`]).stdout, "");
});

test("what needs the right to change networks is refused a user, in one way, with what to do", { timeout: 120_000 }, async () => {
  await using bed = await UserBed.make();
  const lines = [
    "network create lan",
    "network ls",
    "network inspect lan",
    "network set lan --mtu 1400",
    "network rm lan",
    "network reset --force",
    "network why a b:80",
    "node create n",
    "node ls",
    "node exec n true",
    "attachment create a --network lan",
    "attachment ls",
    "plan",
    "plan examples/quickstart/quickstart.yaml",
    "reconcile",
    "vm create v --network lan",
  ];
  for (const line of lines) {
    const ran = bed.nexus(alice, line);
    assert.equal(ran.code, 1, line);
    assert.match(ran.stderr, /networks, nodes and attachments are root's, and this is the daemon of user 64201\n.*sudo.*group nexus/, line);
  }
  const floor = bed.nexus(alice, "vm create v --publish 80:80 --json");
  const { error } = JSON.parse(floor.stdout) as Failure;
  assert.deepEqual([floor.code, error.code], [1, "not-permitted"]);
  assert.match(error.message, /tcp port 80 .* from 1024 up/);
  assert.match(bed.nexus(alice, "vm create v --ssh-port 22").stderr, /port 22 for SSH is below/);
  assert.deepEqual(bed.asked<Vm[]>(alice, "vm ls"), []);
  bed.run(superuser, ["sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=80"]);
  assert.equal(bed.nexus(alice, "vm create v --mem 128 --publish 80:80").code, 0);
});

test("an ordinary user brings a compose file of virtual machines up and down", { timeout: 240_000 }, async () => {
  await using bed = await UserBed.make();
  const write = (text: string) =>
    bed.run(alice, ["sh", "-c", `mkdir -p ~/shop && printf '%s' "$1" >~/shop/nexus-compose.yaml`, "sh", text]);
  const file = `--file ${homeOf(alice)}/shop/nexus-compose.yaml`;
  write("vms:\n  web: { image: mini, mem: 128 }\n");
  const up = bed.nexus(alice, `up --wait ${file}`);
  assert.equal(up.code, 0, up.stderr);
  assert.deepEqual(
    bed.asked<Vm[]>(alice, "vm ls").map((vm) => [vm.name, vm.state]),
    [["shop-web", "running"]],
  );
  assert.match(bed.nexus(alice, `up ${file}`).stdout, /^shop is as its file says$/m);
  write("vms:\n  web: { image: mini, mem: 128 }\n  db: { image: mini, mem: 128, networks: [back] }\nnetworks: { back: {} }\n");
  const refused = bed.nexus(alice, `up ${file}`);
  assert.deepEqual([refused.code === 0, /networks, nodes and attachments are root's/.test(refused.stderr)], [false, true]);
  assert.equal(bed.nexus(alice, `down ${file}`).code, 0);
  assert.deepEqual(bed.asked<Vm[]>(alice, "vm ls"), []);
});

test("two users and root have a daemon each, and none disturbs another", { timeout: 240_000 }, async () => {
  await using bed = await UserBed.make();
  const everybody = [superuser, alice, bob];
  for (const person of everybody) {
    const made = bed.nexus(person, "vm create web --mem 128");
    assert.equal(made.code, 0, made.stderr);
  }
  const infos = everybody.map((person) => bed.asked<Info>(person, "info"));
  assert.deepEqual(
    infos.map((info) => info.scope),
    ["host", "user", "user"],
  );
  const vms = everybody.map((person) => bed.asked<Vm[]>(person, "vm ls"));
  assert.deepEqual(
    vms.map((own) => own.map((vm) => [vm.name, vm.state])),
    everybody.map(() => [["web", "running"]]),
  );
  for (const numbers of [infos.map((info) => info.pid), vms.flat().map((vm) => vm.pid), vms.flat().map((vm) => vm.sshPort)])
    assert.equal(new Set(numbers).size, everybody.length);

  const [, aliceInfo, bobInfo] = infos;
  const knock = bed.nexus(bob, `vm ls --json --socket ${aliceInfo?.socket}`);
  assert.notEqual(knock.code, 0, "the socket of one is closed to the other");
  assert.match((JSON.parse(knock.stdout) as Failure).error.code, /not-permitted|daemon-unreachable/);
  assert.equal(bed.asked<Info>({ ...bob, groups: [group] }, "info").scope, "host", "a member of the group nexus has root's");
  assert.equal(bed.nexus({ ...bob, groups: [group] }, "network create lan").code, 0);

  assert.equal(bed.nexus(alice, "vm rm web --force").code, 0);
  assert.equal(bed.nexus(alice, "daemon stop").code, 0, "a user ends their own daemon");
  assert.match(bed.nexus(bob, "daemon stop --socket /run/nexus/nexusd.sock").stderr, /closed to this user/);
  assert.equal(bed.asked<Info>(bob, "info").pid, bobInfo?.pid);
  assert.equal(bed.asked<Vm>(superuser, "vm inspect web").state, "running");
  const second = bed.run(bob, ["./nexusd", "--socket", `${homeOf(bob)}/s`]);
  assert.match(second.stderr, /another nexusd \(pid \d+\) holds .*nexusd\.lock/);
});

test("a user's socket is never kept where somebody else could answer in its place", { timeout: 120_000 }, async () => {
  await using bed = await UserBed.make();
  const withRun = (directory: string): Person => ({ ...alice, env: { XDG_RUNTIME_DIR: directory } });
  const refused = (directory: string, words: RegExp, lines = ["vm ls --no-start", "vm create v --mem 128", "daemon start"]) => {
    for (const line of lines) {
      const ran = bed.nexus(withRun(directory), line);
      assert.notEqual(ran.code, 0, line);
      assert.match(ran.stderr, words, line);
    }
    // Nor by the daemon itself, however it is started.
    assert.match(bed.run(withRun(directory), ["./nexusd"]).stderr, words);
  };

  const theirs = `${shared}/theirs`;
  const impostor = `mkdir -m 755 ${theirs} ${theirs}/nexus && cd ${theirs}/nexus && exec nc -lkU nexusd.sock`;
  const listening = bed.start(bob, ["sh", "-c", `umask 0; ${impostor}`]);
  await until("the impostor listens", () => bed.run(bob, ["test", "-S", `${theirs}/nexus/nexusd.sock`]).code === 0);
  refused(theirs, /theirs.* belongs to user 64202, not to you \(user 64201\)\n?.*/);
  listening.kill();
  const withCache = (directory: string) => bed.run({ ...alice, env: { NEXUS_CACHE_DIR: directory } }, ["./nexusd"]).stderr;
  const foreignCache = new RegExp(`boot cannot be kept in ${theirs}: it belongs to user 64202.*\n.*set NEXUS_CACHE_DIR`);
  assert.match(withCache(`${theirs}/nexus`), foreignCache);
  assert.match(withCache(shared), /boot cannot be kept in .*shared: it may be written by everybody\n.*chmod go-w/);
  assert.match(
    bed.run(alice, ["./nexusd", "--state-dir", `${theirs}/nexus`]).stderr,
    /state cannot be kept in .*theirs.*64202\b.*\n.*--state-dir/,
  );

  bed.run(alice, ["mkdir", "-m", "777", `${shared}/lax`]);
  refused(`${shared}/lax`, /lax: it may be written by everybody/);
  bed.run(alice, ["mkdir", "-m", "700", `${shared}/file`]);
  bed.run(alice, ["ln", "-s", theirs, `${shared}/file/nexus`]);
  refused(`${shared}/file`, /is no directory/);
  refused(`${shared}/${"long".repeat(25)}`, /107/, ["vm ls"]);

  const own = `${shared}/own`;
  bed.run(alice, ["mkdir", "-m", "700", own]);
  const { socket, pid } = bed.asked<Info>(withRun(own), "info");
  assert.equal(socket, `${own}/nexus/nexusd.sock`);
  assert.equal(bed.run(alice, ["stat", "-c", "%a %u", `${own}/nexus`, socket]).stdout, "700 64201\n600 64201\n");
  bed.run(alice, ["rm", "-r", own]);
  await until("the daemon nobody can reach ends with its session", () => bed.run(superuser, ["kill", "-0", String(pid)]).code !== 0);
  assert.equal(bed.asked<Info>(alice, "info").scope, "user");
});

test("nexus ssh runs the host's ssh to the forwarded port, once a server answers in the guest", { timeout: 120_000 }, async () => {
  await using bed = await UserBed.make();
  const { sshPort } = bed.asked<Vm>(alice, "vm create web --mem 128");
  await until("its agent answers", () => bed.nexus(alice, "vm exec web -- true").code === 0);
  const none = bed.nexus(alice, "ssh web --wait 1s");
  assert.match(none.stderr, /no SSH server answers for vm web on 127\.0\.0\.1 port \d+/);
  const server = "nc -ll -p 22 -e echo SSH-2.0-test >/dev/null 2>&1 &";
  assert.equal(bed.run(alice, ["./nexus", "vm", "exec", "web", "--", "sh", "-c", server]).code, 0);
  bed.run(alice, ["sh", "-c", `mkdir ~/bin; printf '#!/bin/sh\\necho "$@"; exit 9\\n' >~/bin/ssh; chmod 755 ~/bin/ssh`]);
  const withSsh = { ...alice, env: { PATH: `${homeOf(alice)}/bin:${process.env["PATH"]}` } };
  const ran = bed.nexus(withSsh, "vm ssh --name web -l debian -- uptime");
  assert.deepEqual([ran.code, ran.stderr], [9, ""]);
  assert.ok(ran.stdout.endsWith(` -l debian -p ${sshPort} -- 127.0.0.1 uptime\n`), ran.stdout);
});

/** Types into the serial console and reads what comes back. */
async function throughConsole(bed: UserBed): Promise<void> {
  const console = bed.start(alice, ["./nexus", "vm", "console", "web"]);
  let seen = "";
  console.stdout?.setEncoding("utf8").on("data", (text: string) => (seen += text));
  await until("the console answers", () => {
    console.stdin?.write("echo console-$((40 + 2))\n");
    return /^console-42\r?$/m.test(seen);
  });
  console.stdin?.end();
  const [code] = (await once(console, "close")) as [number];
  assert.equal(code, 0);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!holds()) {
    assert.ok(performance.now() < end, `not within a minute: ${what}`);
    await delay(200);
  }
}
