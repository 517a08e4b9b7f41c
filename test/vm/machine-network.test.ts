import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import * as host from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

const outside = "198.51.100.2";
const published = 28480;

describe("virtual machines beside containers", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    await host.sh("ip", "netns", "add", "outside");
    await host.sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", "outside");
    await host.sh("ip", "addr", "add", "198.51.100.1/24", "dev", "uplink");
    await host.sh("ip", "link", "set", "uplink", "up");
    await host.sh("ip", "-n", "outside", "addr", "add", `${outside}/24`, "dev", "eth0");
    await host.sh("ip", "-n", "outside", "link", "set", "eth0", "up");
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.72.0.0/24", "--ipv6");
    await bed.must("network", "create", "hotel", "--subnet", "10.73.0.0/24", "--isolation", "guests", "--no-dhcp");
    await bed.must("node", "create", "box", "--network", "lan", "--", "httpd", "-f", "-p", "80", "-h", "/etc");
    await Promise.all([
      bed.must("vm", "create", "web", "--mem", "128", "--network", "lan", "--publish", `${published}:80`),
      bed.must("vm", "create", "room1", "--mem", "128", "--network", "hotel"),
      bed.must("vm", "create", "room2", "--mem", "128", "--network", "hotel"),
    ]);
    await bed.ready("web", "room1", "room2");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    await host.sh("ip", "netns", "del", "outside");
  });

  const inVm = async (name: string, line: string) => {
    const { code, out, err } = await bed.shell(name, line);
    assert.equal(code, 0, `in ${name}, ${line}: ${out}${err}`);
    return out;
  };
  const inBox = (...command: string[]) => bed.must("node", "exec", "box", "--", ...command);
  const addressOf = async (name: string, family: 4 | 6) =>
    (await bed.client.call("guest.list"))
      .find((guest) => guest.name === name)
      ?.attachments[0]?.addresses.find((a) => a.includes(":") === (family === 6))
      ?.split("/")[0] ?? assert.fail(name);

  test("a machine and a container ping each other by name, over IPv4 and IPv6", async () => {
    for (const [flag, family] of [
      ["-4", 4],
      ["-6", 6],
    ] as const) {
      assert.match(await inVm("web", `ping ${flag} -c 2 -W 5 box`), new RegExp(`\\(${await addressOf("box", family)}\\)`));
      assert.match(await inVm("web", `ping ${flag} -c 2 -W 5 box.lan.nexus`), / 0% packet loss/);
      assert.match(await inBox("ping", flag, "-c", "2", "-W", "5", "web"), new RegExp(`\\(${await addressOf("web", family)}\\)`));
    }
    assert.match(await inVm("web", `nslookup ${await addressOf("box", 4)}`), /name = box\.lan\.nexus/);
    assert.match(await inVm("web", "wget -qO- http://box/hostname || wget -qO- http://box/hosts"), /box/);
  });

  test("a published port leads from outside into the machine", async () => {
    await inVm("web", "mkdir -p /srv && echo welcome >/srv/index.html && httpd -h /srv -p 80");
    const connect = ["netns", "exec", "outside", "nc", "-w", "10", "198.51.100.1", `${published}`];
    assert.match(execFileSync("ip", connect, { input: "GET / HTTP/1.0\r\n\r\n", encoding: "utf8" }), /200 OK[^]*welcome\n$/);
  });

  test("machines of an isolated network reach their gateway and not each other, until it is isolated no more", async () => {
    const [there, gateway] = [await addressOf("room2", 4), "10.73.0.1"];
    const reaches = async (address: string) => (await bed.shell("room1", `ping -c 2 -W 2 ${address}`)).code === 0;
    await until("the gateway answers", () => reaches(gateway));
    assert.equal(await reaches(there), false);
    await bed.must("network", "set", "hotel", "--isolation", "none");
    await until("the neighbour answers", () => reaches(there));
    await bed.must("network", "set", "hotel", "--isolation", "guests");
    assert.equal(await reaches(there), false);
    await until("the gateway answers still", () => reaches(gateway));
  });

  test("a client in the machine gets by DHCP what it was given at the boot; the network shows it", async () => {
    const address = await addressOf("web", 4);
    assert.match(address, /^10\.72\.0\.10$/, "the first of the range for DHCP");
    assert.match(
      await inVm("web", "udhcpc -i eth0 -n -q -f -t 5 -T 1 -s /etc/lease 2>&1"),
      new RegExp(`lease of ${address} obtained from 10\\.72\\.0\\.1,`),
    );
    assert.match(await inVm("web", "ip route show default; cat /etc/resolv.conf"), /via 10\.72\.0\.1[^]*nameserver 10\.72\.0\.1/);
    assert.match(await bed.must("network", "inspect", "lan"), new RegExp(`${address.replaceAll(".", "\\.")}.*web`));
    const { leases } = await bed.client.call("network.get", { params: { name: "lan" } });
    assert.deepEqual(
      leases
        .filter((lease) => lease.guest === "web")
        .map((lease) => lease.address as string)
        .toSorted(),
      [address, await addressOf("web", 6)],
    );
  });

  test("DHCP is served where it is on, from the moment it is switched on and until it is switched off", async () => {
    const asks = async (name: string) => (await bed.shell(name, "udhcpc -i eth0 -n -q -f -t 2 -T 1 -s /bin/true 2>&1")).out;
    assert.match(await asks("room1"), /no lease/);
    await bed.must("network", "set", "hotel", "--dhcp", "on");
    assert.match(await asks("room1"), /lease of 10\.73\.0\.\d+ obtained/);
    await bed.must("network", "set", "hotel", "--dhcp", "off");
    assert.match(await asks("room1"), /no lease/);
  });

  test("a MAC that another guest has is refused, with whose it is; one of a group is refused too", async () => {
    const { mac } = (await bed.vm("web")).attachments[0] ?? assert.fail();
    const asks = (mac: string, network = "lan") => bed.create({ name: "twin", networks: [{ network, mac }] }, { start: false });
    for (const network of ["lan", "hotel"])
      await assert.rejects(asks(mac, network), (error: Error & { code?: string }) => {
        assert.deepEqual([error.code, /guest web has it/.test(error.message)], ["address-taken", true], error.message);
        return true;
      });
    await assert.rejects(asks("01:00:5e:00:00:01"), (error: Error & { code?: string }) => error.code === "spec-invalid");
    await bed.allIsWell();
  });

  test("an address that was asked for is the machine's, and one outside the network is refused", async () => {
    const twin = await bed.create({ name: "twin", networks: [{ network: "lan", address: "10.72.0.77" }] }, { start: false });
    assert.equal(twin.attachments[0]?.addresses[0], "10.72.0.77/24");
    await bed.must("vm", "rm", "twin");
    const { code, err } = await bed.nexus("vm", "create", "far", "--network", "lan:10.99.0.1");
    assert.match(err, /10\.99\.0\.1 is outside network lan/);
    assert.notEqual(code, 0);
    await bed.allIsWell();
  });
});
