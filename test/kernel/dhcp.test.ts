import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { DhcpServer } from "../../src/services/dhcp/server.ts";
import { ip4, lan, makeBridge, network4, plug, Program, until, Workshop } from "./dhcp-bed.ts";
import { mac, name, refusal, run, shown } from "./iproute.ts";

const web = { mac: mac("02:00:00:00:01:01"), address: ip4("10.77.0.10"), hostname: "web" };
const db = { mac: mac("02:00:00:00:01:02"), address: ip4("10.77.0.11"), hostname: "db" };

/** Real clients: busybox udhcpc and ISC dhclient. */
describe("a DHCP server for a bridge", () => {
  const workshop = new Workshop();
  before(() => {
    makeBridge();
    makeBridge("other0", "10.78.0.1/24");
    plug("web", { mac: web.mac });
    plug("db", { mac: db.mac });
    plug("away", { mac: web.mac, bridge: "other0" });
  });
  after(() => workshop[Symbol.dispose]());

  for (const [how, extra] of [
    ["unicast before it has an address", []],
    ["broadcasts", ["-B"]],
  ] as const) {
    test(`gives udhcpc its address and settings by ${how}`, async () => {
      await using server = serve();
      await using client = udhcpc("web", "once", ["-q", "-n", "-O", "mtu", "-O", "search", "-O", "staticroutes", ...extra]);
      assert.equal(await client.ended(), 0, client.words);
      const said = await workshop.event("once.bound");
      assert.deepEqual(
        [
          said["ip"],
          said["mask"],
          said["router"],
          said["dns"],
          said["hostname"],
          said["domain"],
          said["search"],
          said["mtu"],
          said["lease"],
        ],
        ["10.77.0.10", "24", "10.77.0.1", "10.77.0.1", "web", "lan.demo.nexus", "lan.demo.nexus", "1400", "3600"],
      );
      assert.equal(said["staticroutes"], "0.0.0.0/0 10.77.0.1");
      const { received, offers, acks } = server.metrics();
      assert.deepEqual([received, offers, acks], [2, 1, 1]);
    });
  }

  test("answers a renewal by unicast while the client uses the address, and notes its release", async () => {
    await using server = serve();
    await using client = udhcpc("web", "kept", ["-R"], "ip addr replace $ip/$mask dev eth0");
    await workshop.event("kept.bound");
    client.child.kill("SIGUSR1");
    await workshop.event("kept.renew");
    assert.equal(server.metrics().acks, 2);
    client.child.kill("SIGTERM");
    await client.ended();
    await until("the release arrives", () => server.metrics().released === 1);
    run("ip -n web addr flush dev eth0 scope global");
  });

  test("gives clones with one client identifier an address each", async () => {
    await using server = serve();
    for (const [client, address] of [
      ["web", web.address],
      ["db", db.address],
    ] as const) {
      await using program = dhclient(client, `clone-${client}`, 'send dhcp-client-identifier = "cloned machine";');
      const said = await workshop.event(`clone-${client}.BOUND`);
      assert.deepEqual([said["new_ip_address"], said["new_host_name"]], [address, client], program.words);
      assert.deepEqual([said["new_interface_mtu"], said["new_domain_search"]], ["1400", "lan.demo.nexus."]);
    }
    assert.equal(server.metrics().acks, 2);
  });

  test("confirms to a client that comes back what it had, and refuses it once the address is another", async () => {
    await using server = serve();
    const once = async () => {
      await using program = dhclient("web", "back", "");
      const reason = await workshop.event("back.BOUND", "back.REBOOT");
      program.child.kill("SIGTERM");
      return [reason["reason"], reason["new_ip_address"]];
    };
    assert.deepEqual(await once(), ["BOUND", "10.77.0.10"]);
    assert.deepEqual(await once(), ["REBOOT", "10.77.0.10"]);
    assert.deepEqual([server.metrics().offers, server.metrics().acks], [1, 2]);
    server.addGuest(lan, { ...web, address: ip4("10.77.0.99") });
    assert.deepEqual(await once(), ["BOUND", "10.77.0.99"]);
    assert.equal(server.metrics().naks, 1);
  });

  test("says nothing to a MAC it was not told of, nor after it was told to forget it", async () => {
    await using server = serve();
    server.removeGuest(lan, db);
    await using client = udhcpc("db", "stranger", ["-q", "-n", "-t", "2", "-T", "1"]);
    assert.notEqual(await client.ended(), 0);
    const { received, unknown, offers } = server.metrics();
    assert.deepEqual([received > 0, received - unknown, offers], [true, 0, 0]);
  });

  test("hears nothing of other bridges, whatever MAC a client has there", async () => {
    await using server = serve();
    await using client = udhcpc("away", "away", ["-q", "-n", "-t", "2", "-T", "1"]);
    assert.notEqual(await client.ended(), 0);
    assert.equal(server.metrics().received, 0);
  });

  test("gives a guest no default route whose other interface has one", async () => {
    await using server = serve();
    server.addGuest(lan, { ...web, defaultRoute: false });
    await using client = udhcpc("web", "second", ["-q", "-n", "-O", "staticroutes"]);
    assert.equal(await client.ended(), 0, client.words);
    const said = await workshop.event("second.bound");
    assert.deepEqual([said["ip"], said["router"], said["staticroutes"]], ["10.77.0.10", undefined, undefined]);
  });

  test("is asked again at its port without the kernel saying that nobody is there", async () => {
    await using _ = serve();
    const listening = run("ss -lunH sport = 67");
    assert.match(listening, /%nexus0:67/);
  });

  test("goes on with a bridge made anew under the same name, and says which is missing", async () => {
    await using server = serve();
    run("ip link del nexus0");
    await until("the bridge is gone", () => shown("ip -j link show").every((link) => link["ifname"] !== "nexus0"));
    assert.throws(() => server.setNetwork(network4), refusal("find interface nexus0: ENODEV"));
    makeBridge();
    for (const client of ["web", "db"]) run(`ip link set v-${client} master nexus0`);
    server.setNetwork(network4);
    await using client = udhcpc("db", "anew", ["-q", "-n"]);
    assert.equal(await client.ended(), 0, client.words);
    assert.equal((await workshop.event("anew.bound"))["ip"], db.address);
  });

  test("closes all it opened", async () => {
    const before = run("ss -lunH").length;
    const server = serve();
    server.removeNetwork(lan);
    assert.equal(server.addGuest(lan, web), false);
    assert.equal(run("ss -lunH").length, before);
    assert.equal(run("ss -0 -H -a").includes("nexus0"), false);
    await server[Symbol.asyncDispose]();
  });

  function serve(): DhcpServer {
    const server = new DhcpServer();
    server.setNetwork(network4);
    server.addGuest(lan, web);
    server.addGuest(lan, db);
    return server;
  }

  function udhcpc(client: string, what: string, extra: readonly string[], action = ""): Program {
    const script = workshop.script(what, action);
    return new Program(client, ["busybox", "udhcpc", "-f", "-i", name("eth0"), "-s", script, "-t", "5", "-T", "1", ...extra]);
  }

  function dhclient(client: string, what: string, config: string): Program {
    const request = "request subnet-mask, routers, domain-name-servers, host-name, domain-name, domain-search, interface-mtu;";
    const files = ["-sf", workshop.script(what), "-cf", workshop.file(`${what}.conf`, `${request}\n${config}\n`)];
    const leases = ["-lf", `${workshop.path}/${what}.leases`, "-pf", `${workshop.path}/${what}.pid`];
    return new Program(client, ["dhclient", "-1", "-d", "-v", ...files, ...leases, "eth0"]);
  }
});
