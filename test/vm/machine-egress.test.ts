import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ProjectBed } from "../e2e/compose-bed.ts";
import { NamesOutside } from "../kernel/world/names.ts";
import { Place } from "../kernel/world/place.ts";
import { ip } from "../kernel/world/topology.ts";
import { MachineBed } from "./machine-bed.ts";

const resolver = "198.51.100.2";
const zone = {
  "api.site.example": { addresses: ["93.184.1.1", "2600:9000::1"] },
  "www.other.example": { addresses: ["93.184.2.2"] },
};

describe("an egress policy over virtual machines and nodes", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  const stack = new AsyncDisposableStack();
  before(async () => {
    ip(["netns add outside", "link set lo up", "link add uplink type veth peer name eth0 netns outside"]);
    ip(["address add 198.51.100.1/24 dev uplink", "address add 2001:db8:51::1/64 dev uplink nodad", "link set uplink up"]);
    ip(
      ["link set lo up", "link set eth0 up", `address add ${resolver}/24 dev eth0`, "address add 2001:db8:51::2/64 dev eth0 nodad"],
      "outside",
    );
    ip(["route add local 93.184.0.0/16 dev lo", "route add local 2600:9000::/32 dev lo"], "outside");
    ip([`route add default via ${resolver}`, "route add default via 2001:db8:51::2"]);
    const names = stack.use(await NamesOutside.start("outside", resolver));
    await names.serve(zone);
    const outside = stack.use(new Place("outside", "/run/netns/outside"));
    await outside.listen({ tcp: [80, 443] });
    bed = stack.use(await MachineBed.make());
    await bed.must(
      "network",
      "create",
      "lan",
      "--subnet",
      "10.74.0.0/24",
      "--ipv6",
      "--dns",
      resolver,
      "--allow",
      "*.site.example:80",
      "--allow",
      "*.site.example:443",
    );
    await Promise.all([
      bed.must("vm", "create", "web", "--mem", "128", "--network", "lan"),
      bed.must("node", "create", "box", "--network", "lan", "--allow", "api.site.example:443", "--", "sleep", "100000"),
    ]);
    await bed.ready("web");
  });
  after(async () => {
    await stack.disposeAsync();
    ip(["netns delete outside"]);
  });

  const ask = (to: string) => `nc -w 5 ${to} </dev/null`;
  const vmReaches = async (to: string) => /"by":"outside"/.test((await bed.shell("web", ask(to))).out);
  const nodeReaches = async (to: string) => /"by":"outside"/.test((await bed.nexus("node", "exec", "box", "--", "sh", "-c", ask(to))).out);

  test("a machine reaches by its tap what it asked for by an allowed name, over both families", async () => {
    assert.equal(await vmReaches("93.184.1.1 80"), false);
    assert.equal(await vmReaches("api.site.example 80"), true);
    assert.equal(await vmReaches("93.184.1.1 80"), true);
    assert.equal(await vmReaches("2600:9000::1 443"), true, "nc asked for both addresses");
    assert.equal(await vmReaches("93.184.2.2 80"), false);
    assert.equal(await vmReaches("www.other.example 80"), false);
    assert.match((await bed.shell("web", "nslookup www.other.example")).out, /NXDOMAIN/);
    assert.match((await bed.shell("web", `nslookup api.site.example ${resolver}`)).out, /refused|timed out|no servers/);
  });

  test("a machine gets its address by DHCP and its neighbours by name as without one", async () => {
    const { out, err } = await bed.shell(
      "web",
      "udhcpc -f -n -q -t 5 -i eth0 -s /bin/true 2>&1; ping -c 1 -W 5 box; ping -c 1 -W 5 gateway",
    );
    assert.match(out + err, /lease of 10\.74\.0\.\d+ obtained/);
    assert.equal((out.match(/ 0% packet loss/g) ?? []).length, 2, out);
  });

  test("a node's own policy narrows that, and changes under it while it runs", async () => {
    const { pid } = await bed.client.call("guest.get", { params: { name: "box" } });
    assert.equal(await nodeReaches("api.site.example 443"), true);
    assert.equal(await nodeReaches("api.site.example 80"), false);
    const change = async (name: string, allow: string[]) =>
      await bed.client.call("guest.change", { params: { name }, body: { egress: { lan: { mode: "allowlist", allow } } } });
    await change("box", ["api.site.example:80"]);
    assert.equal(await nodeReaches("93.184.1.1 443"), false);
    assert.equal(await nodeReaches("api.site.example 80"), true);
    await change("web", []);
    assert.equal(await vmReaches("93.184.1.1 80"), false);
    assert.equal(await vmReaches("api.site.example 80"), false);
    await bed.client.call("guest.change", { params: { name: "web" }, body: { egress: { lan: { mode: "unrestricted" } } } });
    assert.equal(await vmReaches("api.site.example 80"), true, "by the network's policy again");
    assert.equal((await bed.client.call("guest.get", { params: { name: "box" } })).pid, pid);
    await assert.rejects(
      bed.client.call("guest.change", { params: { name: "box" }, body: { egress: { nowhere: { mode: "none" } } } }),
      /box is not attached to network nowhere/,
    );
    assert.deepEqual((await bed.client.call("reconcile")).steps, []);
  });

  test("a project's policies are made with it, and changed in place by the next up", async () => {
    using project = new ProjectBed(bed, "shop");
    const file = (network: string, node: string) =>
      `networks: { default: { dns: [${resolver}], egress: ${network} } }\nnodes:\n  job: { image: mini, command: sleep 100000, networks: { default: { egress: ${node} } } }\n`;
    const job = async (to: string) => /"by":"outside"/.test((await bed.nexus("node", "exec", "shop-job", "--", "sh", "-c", ask(to))).out);
    const up = async (text: string) => {
      project.write("nexus-compose.yaml", text);
      const { code, out, err } = await project.run("up");
      assert.equal(code, 0, out + err);
      return out + err;
    };
    await up(file("{ mode: allowlist, allow: ['api.site.example:443'] }", "{ mode: unrestricted }"));
    assert.equal(await job("api.site.example 443"), true);
    assert.equal(await job("www.other.example 443"), false);
    const said = await up(
      file(
        "{ mode: allowlist, allow: ['*.other.example:443', 'api.site.example:443'] }",
        "{ mode: allowlist, allow: ['www.other.example:443'] }",
      ),
    );
    assert.match(said, /change network shop-default in place: egress[^]*change shop-job in place: networks/);
    assert.equal(await job("www.other.example 443"), true);
    assert.equal(await job("api.site.example 443"), false);
    await up("networks: { default: { dns: [198.51.100.2] } }\nnodes:\n  job: { image: mini, command: sleep 100000 }\n");
    assert.equal(await job("93.184.9.9 80"), true, "without a policy");
    const { code, out, err } = await project.run("down");
    assert.equal(code, 0, out + err);
  });

  test("a daemon that is killed lets machines and nodes keep what they reached", async () => {
    assert.equal(await vmReaches("api.site.example 80"), true);
    await bed.daemon.crashAndStart();
    assert.equal(await vmReaches("93.184.1.1 80"), true);
    assert.equal(await vmReaches("93.184.2.2 80"), false);
    await bed.must("vm", "stop", "web", "--grace", "1");
    await bed.must("vm", "start", "web");
    assert.equal(await vmReaches("93.184.1.1 80"), false, "what starts anew asks anew");
    assert.equal(await vmReaches("api.site.example 80"), true);
  });
});
