import assert from "node:assert/strict";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import { text } from "node:stream/consumers";
import { NexusError } from "../../src/base/errors.ts";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import { fakeDaemon, fakeSession } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";

const web = {
  name: "web",
  kind: "container",
  state: "running",
  image: "mini",
  createdAt: "2026-01-01T00:00:00Z",
  restarts: 0,
  attachments: [
    {
      network: "lan",
      nic: "eth0",
      hostInterface: "nx1",
      mac: "02:00:00:00:00:01",
      addresses: ["10.0.0.5/24"],
      gateways: ["10.0.0.1"],
      mtuBytes: 1500,
    },
  ],
  publish: [{ protocol: "tcp", hostPort: 8080, guestPort: 80 }],
} as unknown as GuestView;

describe("the command line", { timeout: 30_000 }, () => {
  it("sends what node create is told, shows progress on stderr and the node on stdout", async () => {
    let asked: unknown;
    await using daemon = await fakeDaemon({
      "node.create": async (input, context) => {
        asked = input;
        context.progress("preparing the root file system");
        return web;
      },
    });
    const line =
      "node create web --mem 1G --cpu 512 --cpus 0.5 --pids 10 --image mini --network lan:10.0.0.5 --publish 127.0.0.1:8080:80 --env A=b --restart always --volume data:/srv:ro --alias www --label team=blue --no-run -- httpd -f";
    const ran = await nexus(daemon.socketPath, line.split(" "));
    assert.deepEqual(ran, { code: 0, stdout: "web  running  10.0.0.5  8080->80/tcp\n", stderr: "preparing the root file system\n" });
    assert.deepEqual(asked, {
      params: {},
      query: { start: false },
      body: {
        name: "web",
        image: "mini",
        command: ["httpd", "-f"],
        env: { A: "b" },
        mem: 1024,
        cpu: 512,
        cpus: 0.5,
        pids: 10,
        networks: [{ network: "lan", address: "10.0.0.5" }],
        publish: [{ protocol: "tcp", hostAddress: "127.0.0.1", hostPort: 8080, guestPort: 80 }],
        restart: "always",
        volumes: [{ source: "data", target: "/srv", readOnly: true }],
        aliases: ["www"],
        labels: { team: "blue" },
      },
    });
    const json = await nexus(daemon.socketPath, ["node", "create", "--name", "web", "--json"]);
    assert.deepEqual([json.code, JSON.parse(json.stdout), json.stderr], [0, web, ""]);
  });

  it("sends a directory as an image absolutely, since the daemon runs elsewhere", async () => {
    let image: string | undefined;
    await using daemon = await fakeDaemon({ "node.create": async ({ body }) => ((image = body.image), web) });
    await nexus(daemon.socketPath, ["node", "create", "web", "--image", "./roots/web"]);
    assert.equal(image, resolve("roots/web"));
  });

  it("prints lists as tables, and with --json as one array", async () => {
    await using daemon = await fakeDaemon({ "node.list": async () => [web] });
    assert.equal(
      (await nexus(daemon.socketPath, ["node", "ls"])).stdout,
      "NAME  STATE    IMAGE  NETWORKS  ADDRESSES  PUBLISHED\nweb   running  mini   lan       10.0.0.5   8080->80/tcp\n",
    );
    assert.deepEqual(JSON.parse((await nexus(daemon.socketPath, ["node", "ls", "--json"])).stdout), [web]);
  });

  it("ends with the exit code of the error and says it in words or in JSON", async () => {
    await using daemon = await fakeDaemon({
      "node.get": async () => {
        throw new NexusError("not-found", "no node web", { hint: "nexus node ls lists them" });
      },
      "node.remove": async ({ params }) => {
        if (params.name === "b") throw new NexusError("in-use", "b runs", { hint: "--force" });
        return { removed: [params.name] };
      },
    });
    assert.deepEqual(await nexus(daemon.socketPath, ["node", "inspect", "web"]), {
      code: 4,
      stdout: "",
      stderr: "nexus: no node web\n  nexus node ls lists them\n",
    });
    const json = await nexus(daemon.socketPath, ["--json", "node", "inspect", "web"]);
    assert.deepEqual(
      [json.code, JSON.parse(json.stdout), json.stderr],
      [4, { error: { code: "not-found", message: "no node web", hint: "nexus node ls lists them" } }, ""],
    );
    assert.deepEqual(await nexus(daemon.socketPath, ["node", "rm", "a", "b", "c"]), {
      code: 5,
      stdout: "a\nc\n",
      stderr: "nexus: b runs\n  --force\n",
    });
    assert.equal((await nexus("/nonexistent/socket", ["node", "ls"])).code, 3);
    assert.equal((await nexus(daemon.socketPath, ["node", "lss"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["node", "create", "web", "--publish", "x"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["node", "create", "BAD"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["node"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["--help"])).code, 0);
  });

  it("gives the command's output, input and exit code through exec", async () => {
    await using daemon = await fakeDaemon({
      "node.exec": async ({ body }) =>
        fakeSession(async ({ stdin, stdout, stderr }) => {
          stderr.write(`${body.command.join(" ")} in ${body.cwd}`);
          stdout.write(`<${await text(stdin)}>`);
          return 7;
        }),
    });
    assert.deepEqual(await nexus(daemon.socketPath, ["node", "exec", "-i", "-w", "/tmp", "web", "cat", "-n"], "hello"), {
      code: 7,
      stdout: "<hello>",
      stderr: "cat -n in /tmp",
    });
    assert.equal((await nexus(daemon.socketPath, ["node", "exec", "web", "cat"], "not passed on")).stdout, "<>");
    assert.equal((await nexus(daemon.socketPath, ["node", "exec", "web"])).code, 2);
    assert.equal((await nexus(daemon.socketPath, ["node", "exec", "-t", "web", "sh"])).code, 2);
  });

  it("passes bytes of logs through as they are", async () => {
    await using daemon = await fakeDaemon({
      "node.logs": async ({ query }) =>
        (async function* () {
          yield Buffer.from(`tail ${query.tail} `);
          yield Buffer.from("ü\n");
        })(),
    });
    assert.equal((await nexus(daemon.socketPath, ["node", "logs", "web", "-n", "3"])).stdout, "tail 3 ü\n");
  });

  it("creates and changes networks with what the flags say, gateways and reserved ranges with the subnet they lie in", async () => {
    const asked: unknown[] = [];
    const answer = { name: "lan", subnets: [], leases: [], dns: [], peers: [], bridge: "nx-lan" } as unknown as NetworkView;
    await using daemon = await fakeDaemon({
      "network.create": async ({ body }) => (asked.push(body.subnets, body.nat, body.peers), answer),
      "network.change": async ({ body }) => (asked.push(body), answer),
    });
    const create =
      "network create lan --subnet 10.1.0.0/24 --subnet fd00:1::/64 --gateway fd00:1::9 --reserved 10.1.0.128/25 --no-nat --peer b";
    assert.equal((await nexus(daemon.socketPath, create.split(" "))).code, 0);
    assert.equal((await nexus(daemon.socketPath, "network set lan --nat off --mtu 1400 --no-peers".split(" "))).code, 0);
    assert.equal((await nexus(daemon.socketPath, "network set lan --nat maybe".split(" "))).code, 2);
    assert.equal((await nexus(daemon.socketPath, "network set lan".split(" "))).code, 2);
    assert.equal((await nexus(daemon.socketPath, "network create lan --subnet 10.1.0.0/24 --gateway 10.2.0.1".split(" "))).code, 2);
    assert.equal((await nexus(daemon.socketPath, "network create lan --subnet 10.1.0.0/24 --reserved 10.2.0.0/25".split(" "))).code, 2);
    assert.deepEqual(asked, [
      [
        { prefix: "10.1.0.0/24", reserved: ["10.1.0.128/25"] },
        { prefix: "fd00:1::/64", gateway: "fd00:1::9" },
      ],
      false,
      ["b"],
      { mtu: 1400, nat: false, peers: [] },
    ]);
  });

  it("reads egress policies, of networks and of a guest on those it names", async () => {
    const asked: unknown[] = [];
    const answer = {
      name: "lan",
      subnets: [],
      leases: [],
      dns: [],
      peers: [],
      bridge: "nx-lan",
      egress: { mode: "allowlist", allow: ["a.example:443"] },
    };
    await using daemon = await fakeDaemon({
      "network.change": async ({ body }) => (asked.push(body.egress), answer as unknown as NetworkView),
      "attachment.create": async ({ body }) => (asked.push(body.networks), { name: "web", attachments: [] } as unknown as GuestView),
    });
    const run = (words: string) => nexus(daemon.socketPath, words.split(" "));
    assert.match(
      (await run("network set lan --allow A.example:443 --allow *.b.example:80")).stdout,
      /policy: .*egress only a\.example:443/,
    );
    assert.equal((await run("network set lan --egress unrestricted")).code, 0);
    assert.equal((await run("attachment create web --network lan:10.0.0.2 --egress none")).code, 0);
    assert.deepEqual(asked, [
      { mode: "allowlist", allow: ["a.example:443", "*.b.example:80"] },
      { mode: "unrestricted", allow: [] },
      [{ network: "lan", address: "10.0.0.2", egress: { mode: "none", allow: [] } }],
    ]);
    assert.match((await run("attachment create web --egress none")).stderr, /no.* is named.*\n.*--network/);
    assert.match((await run("network set lan --egress closed")).stderr, /it is none of none, allowlist, unrestricted/);
    assert.match((await run("network set lan --allow 10.0.0.1:443")).stderr, /--allow: "10\.0\.0\.1:443" is an address/);
    assert.match((await run("network set lan --egress none --allow a.example:443")).stderr, /--allow: has no effect in mode none/);
  });

  it("gives a virtual machine networks and disks, and takes them away", async () => {
    const asked: unknown[] = [];
    const had = { ...web, spec: { name: "web", networks: [{ network: "lan" }], disks: [{ name: "old", source: "old" }] } };
    await using daemon = await fakeDaemon({
      "vm.get": async () => had as unknown as GuestView,
      "guest.change": async ({ body }) => (asked.push(body), web),
    });
    const run = (words: string) => nexus(daemon.socketPath, words.split(" "));
    assert.equal((await run("vm attach web --network lab:10.0.1.9 --volume data:1G")).stderr, "");
    assert.equal((await run("vm detach web --network lan --volume old")).stderr, "");
    const [given, taken] = asked as [{ networks: object[]; disks: object[] }, object];
    assert.deepEqual(
      given.networks.map((ref) => ({ ...ref })),
      [{ network: "lan" }, { network: "lab", address: "10.0.1.9" }],
    );
    assert.equal(given.disks.length, 2);
    assert.deepEqual(taken, { networks: [], disks: [] });
    assert.match((await run("vm attach web")).stderr, /no network and no volume is given/);
    assert.match((await run("vm detach web --network lab")).stderr, /web is not on network lab/);
  });

  it("shows settings with their meaning, and forgets one that was stored", async () => {
    const level = { key: "log_level", value: "info", source: "file" as const, summary: "what nexusd logs" };
    let forgotten: string | undefined;
    await using daemon = await fakeDaemon({
      "config.show": async () => ({ settings: [{ ...level, source: "stored" }] }),
      "config.unset": async ({ params }) => ((forgotten = params.key), level),
    });
    assert.equal(
      (await nexus(daemon.socketPath, ["config", "show"])).stdout,
      "KEY        VALUE  SOURCE  MEANING\nlog_level  info   stored  what nexusd logs\n",
    );
    assert.equal((await nexus(daemon.socketPath, ["config", "unset", "log_level"])).stdout, "log_level = info  (file)\n");
    assert.equal(forgotten, "log_level");
    await using closed = await fakeDaemon({}, { uid: 1000, gid: 1000, pid: 1 });
    assert.equal((await nexus(closed.socketPath, ["config", "unset", "log_level"])).code, 1);
  });

  it("tells faults in the words of the command line, and a misspelt image as a wrong command line", async () => {
    await using daemon = await fakeDaemon();
    const told = async (...words: string[]) => {
      const { code, stderr } = await nexus(daemon.socketPath, words);
      assert.equal(code, 2, words.join(" "));
      return stderr;
    };
    assert.match(await told("network", "create", "lan", "--subnet", "10.0.0.0/33"), /^nexus: --subnet: "10\.0\.0\.0\/33"/);
    assert.match(await told("network", "why", "web", "db:x"), /^nexus: TO: "db:x"/);
    assert.match(await told("image", "rm", "UPPER", "a//b"), /^nexus: REF: "UPPER" is no image reference.*\n +REF: "a\/\/b"/);
    assert.match(await told("image", "pull", "a:b:c"), /^nexus: REF: "a:b:c" is no image reference/);
    assert.match(await told("frobnicate"), /^nexus: unknown command "frobnicate"\n/);
    assert.match(await told("node", "inspect"), /^nexus node inspect: NAME is missing\n/);
    const json = JSON.parse((await nexus(daemon.socketPath, ["image", "pull", "a:b:c", "--json"])).stdout) as {
      error: { message: string };
    };
    assert.match(json.error.message, /^reference: /);
  });

  it("counts the addresses of an IPv6 subnet as a power of two", async () => {
    const subnets = [{ prefix: "fd00:1::/64", gateway: "fd00:1::1", reserved: [], leased: 2, size: 2 ** 64 }];
    const answer = { name: "lan", subnets, leases: [], dns: [], peers: [], bridge: "nx-lan" } as unknown as NetworkView;
    await using daemon = await fakeDaemon({ "network.get": async () => answer });
    assert.match((await nexus(daemon.socketPath, ["network", "inspect", "lan"])).stdout, /2 of 2\^64 addresses/);
  });

  it("answers why with the verdict as exit code", async () => {
    await using daemon = await fakeDaemon({
      why: async ({ query }) => ({
        verdict: query.to.port === 80 ? "allow" : "deny",
        reason: `to ${query.to.host}`,
        rule: "r",
        path: [{ step: "a", result: "b" }],
      }),
    });
    assert.equal((await nexus(daemon.socketPath, ["network", "why", "web", "db:80"])).code, 0);
    assert.deepEqual(await nexus(daemon.socketPath, ["network", "why", "web", "[fd00::5]:81"]), {
      code: 1,
      stdout: "deny: to fd00::5\nrule:  r\n  a  b\n",
      stderr: "",
    });
  });

  it("completes words, flags, values and names", async () => {
    await using daemon = await fakeDaemon({
      "node.list": async () => [web, { ...web, name: "worker" as never }],
      "facility.list": async () => [{ name: "work" } as never],
      "run.list": async () => [{ id: "3f9a" } as never, { id: "4b1c" } as never],
    });
    const offered = async (...words: string[]) =>
      (await nexus(daemon.socketPath, ["__complete", "--", ...words])).stdout.trim().split("\n");
    assert.deepEqual(await offered("no"), ["node"]);
    assert.deepEqual(await offered("node", "st"), ["start", "stop"]);
    assert.deepEqual(await offered("node", "exec", "w"), ["web", "worker"]);
    assert.deepEqual(await offered("node", "rm", "web", "wo"), ["worker"]);
    assert.deepEqual(await offered("node", "create", "x", "--restart", "on"), ["on-failure"]);
    assert.deepEqual(await offered("node", "logs", "--fo"), ["--follow"]);
    assert.deepEqual(await offered("run", "--profile", "un"), ["untrusted"]);
    assert.deepEqual(await offered("run", "in"), ["inspect"]);
    assert.deepEqual(await offered("facility", "rm", "web", "wo"), ["work"]);
    assert.deepEqual(await offered("facility", "artifacts", "work", ""), [""], "patterns are no facilities");
    assert.deepEqual(await offered("run", "--facility", ""), ["work"]);
    assert.deepEqual(await offered("run", "cancel", "3f9a", "4"), ["4b1c"]);
    assert.deepEqual((await nexus("/nonexistent", ["__complete", "--", "node", "exec", ""])).stdout, "");
    for (const shell of ["bash", "zsh", "fish"]) assert.match((await nexus(daemon.socketPath, ["completion", shell])).stdout, /__complete/);
  });
});
