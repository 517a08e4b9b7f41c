import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import type { Ip } from "../../src/base/ip.ts";
import type { Mac } from "../../src/base/mac.ts";
import type { IfName } from "../../src/base/names.ts";
import type { Cidr, Prefix } from "../../src/base/prefix.ts";
import { SpecError } from "../../src/base/errors.ts";
import { type CloudInit, cloudSeed, seedFiles } from "../../src/images/cloud-init.ts";
import { cloudYaml } from "../../src/images/cloud-yaml.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdM3Zc6Q8h0mO8mHqOlYbKcM0F4l1n7xIYuJ3cS9d8k project";
const wish = (more: Partial<CloudInit> = {}): CloudInit => ({ guestId: "g1", hostname: "web", ...more });
const read = (text: string): Record<string, unknown> => parse(text, { version: "1.1" }) as Record<string, unknown>;
const configOf = (more: Partial<CloudInit> = {}): Record<string, unknown> => read(cloudSeed(wish(more)).userData);
type WrittenFile = { path: string; permissions: string; owner: string; content: string; encoding?: string; defer?: boolean };
const filesOf = (more: Partial<CloudInit> = {}): WrittenFile[] => configOf(more)["write_files"] as WrittenFile[];

describe("a guest's cloud-init data", () => {
  it("is a cloud-config that lets nobody in by password", () => {
    const { userData, metaData, instanceId } = cloudSeed(wish({ authorizedKeys: [key], fqdn: "web.shop.nexus", user: "nexus" }));
    assert.match(userData, /^#cloud-config\n[a-z]/);
    const config = read(userData);
    assert.deepEqual([config["ssh_pwauth"], config["disable_root"], config["ssh_authorized_keys"]], [false, true, [key]]);
    assert.deepEqual(config["user"], { name: "nexus", lock_passwd: true });
    assert.deepEqual([config["hostname"], config["fqdn"]], ["web", "web.shop.nexus"]);
    assert.deepEqual(read(metaData), { "instance-id": instanceId, "local-hostname": "web" });
    assert.doesNotMatch(userData, /passwd: [^t]|chpasswd/);
  });

  it("has another instance when anything is different, and the same when nothing is", () => {
    const nic = { name: "eth0" as IfName, mac: "02:00:00:00:00:01" as Mac, dhcp4: true, dhcp6: false };
    const variants: Partial<CloudInit>[] = [
      {},
      { guestId: "g2" },
      { hostname: "db" },
      { fqdn: "web.x.nexus" },
      { packages: ["curl"] },
      { environment: { A: "1" } },
      { environment: { A: "2" } },
      { provision: [{ kind: "shell", script: "true" }] },
      { userData: "#cloud-config\nx: 1\n" },
      { agent: true },
      { nics: [nic] },
      { nics: [{ ...nic, dhcp6: true }] },
      { hostKey: { privateKey: "p\n", publicLine: "q" } },
    ];
    const ids = variants.map((one) => cloudSeed(wish(one)).instanceId);
    assert.equal(new Set(ids).size, variants.length);
    assert.deepEqual(
      variants.map((one) => cloudSeed(wish(one)).instanceId),
      ids,
    );
  });

  it("goes into a seed as the three files NoCloud asks for, and two when the network is the image's own", () => {
    const nics = [{ name: "eth0" as IfName, mac: "02:00:00:00:00:01" as Mac, dhcp4: true, dhcp6: false }];
    const names = (more: Partial<CloudInit>) => seedFiles(cloudSeed(wish(more))).map((file) => file.name);
    assert.deepEqual(names({ nics }), ["meta-data", "user-data", "network-config"]);
    assert.deepEqual(names({}), ["meta-data", "user-data"]);
  });

  it("installs packages, and leaves the agent to where it is known whether the image has one", () => {
    assert.deepEqual(configOf({ packages: ["curl"], agent: true })["packages"], ["curl"]);
    assert.equal(configOf({ packages: ["curl"] })["package_update"], true);
    assert.deepEqual([configOf()["packages"], configOf()["package_update"]], [undefined, undefined]);
  });

  it("writes files as they are, whatever is in them", () => {
    const files = filesOf({
      files: [
        { path: "/a", content: "yes" },
        { path: "/b", content: "line\n  two\n", mode: "600", owner: "nexus:nexus" },
        { path: "/c", content: new Uint8Array([0, 255]) },
        { path: "/d", content: "bell\u0007" },
      ],
    });
    assert.deepEqual(files.slice(0, 4), [
      { path: "/a", permissions: "0644", owner: "root:root", content: "yes" },
      { path: "/b", permissions: "0600", owner: "nexus:nexus", defer: true, content: "line\n  two\n" },
      { path: "/c", permissions: "0644", owner: "root:root", encoding: "b64", content: "AP8=" },
      { path: "/d", permissions: "0644", owner: "root:root", encoding: "b64", content: Buffer.from("bell\u0007").toString("base64") },
    ]);
  });

  it("knows its host key before the first boot when it is given one", () => {
    const hostKey = { privateKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n", publicLine: key };
    assert.deepEqual(configOf({ hostKey })["ssh_keys"], { ed25519_private: hostKey.privateKey, ed25519_public: key });
  });

  it("says everything that is wrong at once", () => {
    const bad = wish({
      hostname: "a b",
      user: "root",
      authorizedKeys: [key, `${key}\nssh-rsa AAAA`, "AAAA"],
      packages: ["ok", "-o Dpkg::x"],
      environment: { "A-B": "1", OK: "a\0b" },
      files: [
        { path: "etc/x", content: "", mode: "9", owner: "a b" },
        { path: "/a/../etc/shadow", content: "" },
      ],
      mounts: [
        { from: { share: "src" }, target: "/", readOnly: false },
        { from: { disk: "a b" }, target: "/data", readOnly: false },
        { from: { share: "src" }, target: "/data", readOnly: false, options: "ro 0 0\n" },
      ],
      provision: [
        { kind: "shell", script: "true" },
        { kind: "shell", script: " " },
        { kind: "file", target: "x", content: "", mode: "rw" },
      ],
      userData: "[",
    });
    assert.throws(
      () => cloudSeed(bad),
      (error) => {
        assert.ok(error instanceof SpecError);
        assert.deepEqual(
          error.problems.map((problem) => problem.path),
          [
            "hostname",
            "user",
            "authorized_keys[1]",
            "authorized_keys[2]",
            "packages[1]",
            "environment.A-B",
            "environment.OK",
            "files[0].path",
            "files[0].mode",
            "files[0].owner",
            "files[1].path",
            "mounts[0].target",
            "mounts[1].from",
            "mounts[2].options",
            "mounts[2].target",
            "provision[1]",
            "provision[2].target",
            "provision[2].mode",
          ],
        );
        return true;
      },
    );
  });
});

describe("a guest's network in cloud-init's words", () => {
  const network = (nics: CloudInit["nics"]) => read(cloudSeed(wish({ nics: nics ?? [] })).networkConfig ?? "");

  it("finds each card by its MAC address, by DHCP or with addresses of its own", () => {
    const config = network([
      { name: "eth0" as IfName, mac: "02:00:00:00:00:01" as Mac, mtuBytes: 1400, dhcp4: true, dhcp6: false },
      {
        name: "eth1" as IfName,
        mac: "02:00:00:00:00:10" as Mac,
        dhcp4: false,
        dhcp6: false,
        acceptRa: false,
        addresses: ["10.0.0.5/24" as Cidr, "fd00::5/64" as Cidr],
        routes: [
          { to: "0.0.0.0/0" as Prefix, via: "10.0.0.1" as Ip },
          { to: "::/0" as Prefix, via: "fd00::1" as Ip },
          { to: "10.9.0.0/16" as Prefix, via: "10.0.0.2" as Ip, metric: 50 },
        ],
        nameservers: ["10.0.0.1" as Ip],
        searchDomains: ["shop.nexus"],
      },
    ]);
    assert.deepEqual(config, {
      version: 2,
      ethernets: {
        eth0: { match: { macaddress: "02:00:00:00:00:01" }, "set-name": "eth0", dhcp4: true, dhcp6: false, mtu: 1400 },
        eth1: {
          match: { macaddress: "02:00:00:00:00:10" },
          "set-name": "eth1",
          dhcp4: false,
          dhcp6: false,
          "accept-ra": false,
          addresses: ["10.0.0.5/24", "fd00::5/64"],
          gateway4: "10.0.0.1",
          gateway6: "fd00::1",
          routes: [{ to: "10.9.0.0/16", via: "10.0.0.2", metric: 50 }],
          nameservers: { addresses: ["10.0.0.1"], search: ["shop.nexus"] },
        },
      },
    });
  });

  it("keeps a default route with a metric as a route, and a second one too", () => {
    const config = network([
      {
        name: "eth0" as IfName,
        mac: "02:00:00:00:00:01" as Mac,
        dhcp4: false,
        dhcp6: false,
        routes: [
          { to: "0.0.0.0/0" as Prefix, via: "10.0.0.1" as Ip, metric: 10 },
          { to: "0.0.0.0/0" as Prefix, via: "10.0.0.2" as Ip },
          { to: "0.0.0.0/0" as Prefix, via: "10.0.0.3" as Ip },
        ],
      },
    ]) as { ethernets: { eth0: Record<string, unknown> } };
    assert.equal(config.ethernets.eth0["gateway4"], "10.0.0.2");
    assert.deepEqual(config.ethernets.eth0["routes"], [
      { to: "0.0.0.0/0", via: "10.0.0.1", metric: 10 },
      { to: "0.0.0.0/0", via: "10.0.0.3" },
    ]);
  });

  it("refuses two cards that cannot be told apart", () => {
    const nic = { name: "eth0" as IfName, mac: "02:00:00:00:00:01" as Mac, dhcp4: true, dhcp6: false };
    assert.throws(
      () => network([nic, nic]),
      (error) => error instanceof SpecError && /nics\[1\]\.name.*\n.*nics\[1\]\.mac/.test(error.message),
    );
  });
});

describe("a user's own user data", () => {
  it("is merged when it is a cloud-config: its words hold, lists are joined with its items first", () => {
    const userData = [
      "#cloud-config",
      "hostname: other",
      "ssh_pwauth: yes",
      "packages: [vim, curl]",
      "ssh_authorized_keys:",
      `  - ${key}2`,
      "runcmd: [echo first]",
      "user: {shell: /bin/zsh}",
      "chpasswd: {expire: false}",
      "mode: 0644",
    ].join("\n");
    const config = configOf({
      userData,
      packages: ["curl", "git"],
      authorizedKeys: [key],
      user: "nexus",
      provision: [{ kind: "shell", script: "true" }],
    });
    assert.deepEqual([config["hostname"], config["ssh_pwauth"], config["disable_root"]], ["other", true, true]);
    assert.deepEqual(config["packages"], ["vim", "curl", "git"]);
    assert.deepEqual(config["ssh_authorized_keys"], [`${key}2`, key]);
    assert.deepEqual(config["runcmd"], ["echo first", ["/bin/sh", "/var/lib/nexus/run"]]);
    assert.deepEqual(config["user"], { name: "nexus", lock_passwd: true, shell: "/bin/zsh" });
    assert.deepEqual(config["chpasswd"], { expire: false });
    assert.equal(config["mode"], 0o644, "as PyYAML reads it");
  });

  it("is one part of a message otherwise, before ours", () => {
    const script = "#!/bin/sh\necho häh\n";
    const { userData } = cloudSeed(wish({ userData: script }));
    assert.match(userData, /^Content-Type: multipart\/mixed; boundary="(nexus-[0-9a-f]{32})"\nMIME-Version: 1\.0\n\n--\1\n/);
    const parts = partsOf(userData);
    assert.deepEqual(
      parts.map((part) => part.type),
      ["text/x-shellscript", "text/cloud-config"],
    );
    assert.equal(parts[0]?.text, script);
    assert.match(parts[1]?.text ?? "", /^#cloud-config\n/);
    assert.equal(read(parts[1]?.text ?? "")["merge_how"], "list(append)+dict(no_replace,recurse_list)+str()");
    for (const [start, type] of [
      ["#include https://example.org/x", "text/x-include-url"],
      ["#include-once\nhttps://example.org/x", "text/x-include-once-url"],
      ["#cloud-boothook\n#!/bin/sh", "text/cloud-boothook"],
      ["#cloud-config-archive\n- x", "text/cloud-config-archive"],
      ["## template: jinja\n#cloud-config\n", "text/jinja2"],
    ])
      assert.equal(partsOf(cloudSeed(wish({ userData: start ?? "" })).userData)[0]?.type, type);
  });

  it("is taken in as it is when it is a message itself", () => {
    const own =
      'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n';
    assert.ok(cloudSeed(wish({ userData: own })).userData.includes(own));
  });

  it("that is empty is none", () => {
    assert.deepEqual(configOf({ userData: "\n" }), configOf());
    assert.deepEqual(configOf({ userData: "#cloud-config\n" }), configOf());
  });

  for (const [name, userData, words] of [
    ["of no known kind", "hello: world\n", /user_data: begins with "hello: world".*#cloud-config/],
    ["with YAML that cannot be read", "#cloud-config\na: [1\nb: 2\n", /^user_data:3:1: user_data: /],
    ["with a key that is there twice", "#cloud-config\na: 1\na: 2\n", /^user_data:3:1: /],
    ["that is a list", "#cloud-config\n- a\n", /must be a mapping/],
    ["with one word where ours is a list", "#cloud-config\nruncmd: reboot\n", /user_data\.runcmd: must be a list, not a scalar/],
    [
      "with aliases of aliases",
      `#cloud-config\na: &a [x, x, x, x, x, x, x, x]\nb: &b [${"*a, ".repeat(9)}]\nc: &c [${"*b, ".repeat(9)}]\nd: [${"*c, ".repeat(9)}]\n`,
      /user_data/,
    ],
  ] as const) {
    it(`is refused ${name}`, () => {
      assert.throws(
        () => cloudSeed(wish({ userData })),
        (error) => error instanceof SpecError && words.test(error.message),
      );
    });
  }

  it("of any text gives a seed or a SpecError", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom("#cloud-config\n", "#!", "runcmd:", "- ", "a: ", "\n", "&x ", "*x", "{", "!!binary ", "Content-Type: "),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, config) => {
        try {
          cloudSeed(wish({ userData: `${config ? "#cloud-config\n" : ""}${pieces.join("")}` }));
        } catch (error) {
          assert.ok(error instanceof SpecError, String((error as Error).stack));
        }
      }),
    );
  });
});

describe("YAML for cloud-init", () => {
  it("keeps text as text, though YAML 1.1 would read it as something else", () => {
    for (const text of [
      "yes",
      "no",
      "on",
      "0777",
      "1:30",
      "2001-01-01",
      "=",
      "<<",
      "~",
      "null",
      "1_000",
      "",
      " ",
      "a: b",
      "# c",
      "@x",
      "a\tb",
      "é",
      "\u2028",
    ])
      assert.deepEqual(read(cloudYaml({ key: text, list: [text] })), { key: text, list: [text] }, text);
    for (const key of ["yes", "=", "0777", "~", "", "a b", "?"]) assert.deepEqual(read(cloudYaml({ [key]: 1 })), { [key]: 1 }, key);
  });

  it("gives back any value it was given", () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string({ unit: "grapheme" }),
        fc.string({ unit: fc.constantFrom("a", "\n", " ", ":", "#", "-", '"', "\t") }),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        tie("list"),
        tie("map"),
      ),
      list: fc.array(tie("value"), { maxLength: 4 }),
      map: fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("yes", "0777", "=", "1:30")), tie("value"), {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    }));
    fc.assert(fc.property(value, (given) => assert.deepEqual(read(cloudYaml({ given })), { given })));
  });
});

/** The parts of a message whose parts are all encoded. */
function partsOf(message: string): { type: string; text: string }[] {
  const boundary = /boundary="([^"]+)"/.exec(message)?.[1] ?? "";
  return message
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => {
      const [head = "", body = ""] = part.trim().split(/\n\n/);
      return { type: /Content-Type: ([^;\n]+)/.exec(head)?.[1] ?? "", text: Buffer.from(body, "base64").toString("utf8") };
    });
}
