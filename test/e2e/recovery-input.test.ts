import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ErrorCode } from "../../src/base/errors.ts";
import { sh } from "../chaos/host.ts";
import { Bed, runNexus } from "./recovery-bed.ts";

/** What is asked, and what the answer must be: its code, the command's exit code, and words that say what, where and what to do. */
type Row = { given: string; ask: string[]; code: ErrorCode; exit: number; words: RegExp };

const listenedPort = 28080;

const rows: Row[] = [
  {
    given: "a subnet that another network has",
    ask: ["network", "create", "twin", "--subnet", "10.61.0.0/25"],
    code: "subnet-overlap",
    exit: 5,
    words: /10\.61\.0\.0\/25.*10\.61\.0\.0\/24.*network lan/s,
  },
  {
    given: "a subnet that the host routes",
    ask: ["network", "create", "twin", "--subnet", "198.51.100.128/25"],
    code: "subnet-overlap",
    exit: 5,
    words: /198\.51\.100\.0\/24.*far0/s,
  },
  {
    given: "a subnet with host bits",
    ask: ["network", "create", "twin", "--subnet", "10.62.0.1/24"],
    code: "spec-invalid",
    exit: 2,
    words: /10\.62\.0\.1\/24.*10\.62\.0\.0\/24/s,
  },
  {
    given: "a subnet that is none",
    ask: ["network", "create", "twin", "--subnet", "10.62.0.0/33"],
    code: "spec-invalid",
    exit: 2,
    words: /10\.62\.0\.0\/33/,
  },
  {
    given: "a /31, which has no room for guests",
    ask: ["network", "create", "twin", "--subnet", "10.62.0.0/31"],
    code: "spec-invalid",
    exit: 2,
    words: /10\.62\.0\.0\/31/,
  },
  {
    given: "a bridge name over 15 bytes",
    ask: ["network", "create", "twin", "--bridge", "sixteen-bytes-xx"],
    code: "spec-invalid",
    exit: 2,
    words: /bridge.*15/s,
  },
  {
    given: "a bridge name with odd characters",
    ask: ["network", "create", "twin", "--bridge", "a/b"],
    code: "spec-invalid",
    exit: 2,
    words: /bridge/,
  },
  {
    given: "a network's name with odd characters",
    ask: ["network", "create", "Blue Lagoon"],
    code: "spec-invalid",
    exit: 2,
    words: /name/,
  },
  {
    given: "a node's name with odd characters",
    ask: ["node", "create", "a.b", "--", "true"],
    code: "spec-invalid",
    exit: 2,
    words: /name/,
  },
  { given: "a network's name twice", ask: ["network", "create", "lan"], code: "name-taken", exit: 5, words: /lan/ },
  {
    given: "a guest's name twice",
    ask: ["attachment", "create", "holder", "--network", "lan"],
    code: "name-taken",
    exit: 5,
    words: /holder/,
  },
  {
    given: "a node with the name of an attachment",
    ask: ["node", "create", "holder", "--", "true"],
    code: "name-taken",
    exit: 5,
    words: /holder/,
  },
  {
    given: "a bridge that exists and is not ours",
    ask: ["network", "create", "twin", "--bridge", "far0"],
    code: "bridge-foreign",
    exit: 5,
    words: /far0.*not ours.*--bridge/s,
  },
  {
    given: "the bridge of another network",
    ask: ["network", "create", "twin", "--bridge", "nx-lan"],
    code: "name-taken",
    exit: 5,
    words: /nx-lan/,
  },
  {
    given: "an address outside the network",
    ask: ["attachment", "create", "guest", "--network", "lan:10.99.0.5"],
    code: "address-outside",
    exit: 2,
    words: /10\.99\.0\.5.*lan/s,
  },
  {
    given: "the gateway's address",
    ask: ["attachment", "create", "guest", "--network", "lan:10.61.0.1"],
    code: "address-outside",
    exit: 2,
    words: /10\.61\.0\.1.*gateway/s,
  },
  {
    given: "the broadcast address",
    ask: ["attachment", "create", "guest", "--network", "lan:10.61.0.255"],
    code: "address-outside",
    exit: 2,
    words: /10\.61\.0\.255/,
  },
  {
    given: "an address that another guest has",
    ask: ["attachment", "create", "guest", "--network", "lan:10.61.0.9"],
    code: "address-taken",
    exit: 5,
    words: /10\.61\.0\.9.*holder/s,
  },
  {
    given: "a pool without a free address",
    ask: ["attachment", "create", "guest", "--network", "tiny"],
    code: "pool-exhausted",
    exit: 5,
    words: /tiny/,
  },
  {
    given: "a network that does not exist",
    ask: ["attachment", "create", "guest", "--network", "nowhere"],
    code: "not-found",
    exit: 4,
    words: /nowhere.*lan/s,
  },
  {
    given: "a network named twice",
    ask: ["attachment", "create", "guest", "--network", "lan", "--network", "lan"],
    code: "spec-invalid",
    exit: 2,
    words: /lan/,
  },
  {
    given: "a port that another guest publishes",
    ask: ["attachment", "create", "guest", "--network", "lan", "--publish", "28443:443"],
    code: "port-taken",
    exit: 5,
    words: /28443.*holder/s,
  },
  {
    given: "a range over a port that another guest publishes",
    ask: ["attachment", "create", "guest", "--network", "lan", "--publish", "28440-28450:440-450"],
    code: "port-taken",
    exit: 5,
    words: /28440-28450.*holder/s,
  },
  {
    given: "a port that a program of the host listens on",
    ask: ["attachment", "create", "guest", "--network", "lan", "--publish", `${listenedPort}:80`],
    code: "port-taken",
    exit: 5,
    words: new RegExp(`${listenedPort}.*pid ${process.pid}`, "s"),
  },
  {
    given: "a host address that the host lacks",
    ask: ["attachment", "create", "guest", "--network", "lan", "--publish", "203.0.113.7:28081:80"],
    code: "address-outside",
    exit: 2,
    words: /203\.0\.113\.7/,
  },
  {
    given: "a port that is none",
    ask: ["attachment", "create", "guest", "--network", "lan", "--publish", "70000:80"],
    code: "usage",
    exit: 2,
    words: /70000/,
  },
  {
    given: "ports published from internal networks only",
    ask: ["attachment", "create", "guest", "--network", "closed", "--publish", "28082:80"],
    code: "spec-invalid",
    exit: 2,
    words: /internal/,
  },
  {
    given: "an image that is not there",
    ask: ["node", "create", "guest", "--image", "/no/such/directory", "--", "true"],
    code: "image-missing",
    exit: 4,
    words: /\/no\/such\/directory/,
  },
  {
    given: "an image whose registry does not answer",
    ask: ["node", "create", "guest", "--image", "127.0.0.1:9/none:1", "--", "true"],
    code: "image-missing",
    exit: 4,
    words: /127\.0\.0\.1:9\/none:1/,
  },
  {
    given: "a command that the image lacks",
    ask: ["node", "create", "guest", "--", "/no/such/program"],
    code: "runtime-failed",
    exit: 1,
    words: /no\/such\/program/,
  },
  {
    given: "less memory than anything can run in",
    ask: ["node", "create", "guest", "--mem", "1", "--", "true"],
    code: "spec-invalid",
    exit: 2,
    words: /mem/,
  },
  {
    given: "more processors than the host has",
    ask: ["node", "create", "guest", "--cpus", "5000", "--", "true"],
    code: "spec-invalid",
    exit: 2,
    words: /cpus/,
  },
  {
    given: "a limit of no processes",
    ask: ["node", "create", "guest", "--pids", "0", "--", "true"],
    code: "spec-invalid",
    exit: 2,
    words: /pids/,
  },
  {
    given: "a restart policy that does not exist",
    ask: ["node", "create", "guest", "--restart", "sometimes", "--", "true"],
    code: "spec-invalid",
    exit: 2,
    words: /restart/,
  },
  {
    given: "a peer that does not exist",
    ask: ["network", "create", "twin", "--peer", "nowhere"],
    code: "not-found",
    exit: 4,
    words: /nowhere/,
  },
  {
    given: "a network as its own peer",
    ask: ["network", "set", "lan", "--peer", "lan"],
    code: "spec-invalid",
    exit: 2,
    words: /its own peer/,
  },
  { given: "the removal of a network in use", ask: ["network", "rm", "lan"], code: "in-use", exit: 5, words: /holder.*--force/s },
  {
    given: "the removal of a network that does not exist",
    ask: ["network", "rm", "nowhere"],
    code: "not-found",
    exit: 4,
    words: /nowhere/,
  },
  {
    given: "a change of a published network to internal",
    ask: ["network", "set", "lan", "--internal", "on"],
    code: "in-use",
    exit: 5,
    words: /holder/,
  },
  { given: "the start of a node that does not exist", ask: ["node", "start", "nobody"], code: "not-found", exit: 4, words: /nobody/ },
  { given: "a verb that does not exist", ask: ["network", "destroy", "lan"], code: "usage", exit: 2, words: /destroy/ },
  { given: "a flag that does not exist", ask: ["network", "create", "twin", "--colour", "red"], code: "usage", exit: 2, words: /colour/ },
  {
    given: "a setting that does not exist",
    ask: ["config", "set", "network.color", "red"],
    code: "not-found",
    exit: 4,
    words: /network\.color/,
  },
];

describe("bad input", { timeout: 240_000 }, () => {
  let bed: Bed;
  let listener: Server;
  before(async () => {
    await sh("ip", "link", "add", "far0", "type", "bridge");
    await sh("ip", "link", "set", "far0", "up");
    await sh("ip", "addr", "add", "198.51.100.1/24", "dev", "far0");
    listener = createServer().listen(listenedPort, "0.0.0.0");
    bed = await Bed.make();
    for (const args of [
      ["network", "create", "lan", "--subnet", "10.61.0.0/24"],
      ["network", "create", "tiny", "--subnet", "10.63.0.0/30"],
      ["network", "create", "closed", "--internal"],
      ["attachment", "create", "holder", "--network", "lan:10.61.0.9", "--publish", "28443:443"],
      ["attachment", "create", "last", "--network", "tiny"],
    ]) {
      const { code, err } = await bed.nexus(...args);
      assert.equal(code, 0, err);
    }
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    listener.close();
    await sh("ip", "link", "del", "far0");
  });

  for (const { given, ask, code, exit, words } of rows) {
    test(`${given}: ${code}, and nothing is made`, async () => {
      const before = await listed(bed);
      const said = await bed.refusal(...ask);
      const whole = `${said.error.message}\n${said.error.hint ?? ""}`;
      assert.deepEqual({ code: said.error.code, exit: said.exit }, { code, exit }, whole);
      assert.match(whole, words);
      assert.equal(await listed(bed), before);
      await bed.allIsWell();
    });
  }

  test("without --json the same is said in words on stderr, and nothing on stdout", async () => {
    const { code, out, err } = await bed.nexus("network", "create", "lan");
    assert.equal(code, 5);
    assert.equal(out, "");
    assert.match(err, /^nexus: a network named lan exists already\n/);
  });

  test("an unknown key of the configuration is named with its file, line and column", async () => {
    const directory = mkdtempSync("/var/tmp/nexus-config-");
    const file = join(directory, "nexus.yaml");
    writeFileSync(file, "network:\n  bridge_name: nexus0\n  subnett: 10.0.0.0/24\n");
    const { code, err } = await runNexus(["daemon", "--config", file, "--state-dir", join(directory, "state")]);
    rmSync(directory, { recursive: true });
    assert.equal(code, 2, err);
    assert.match(err, /nexus\.yaml:3:3: .*subnett/);
    assert.match(err, /subnet/);
  });

  test("a second daemon in the network namespace names the first", async () => {
    const directory = mkdtempSync("/var/tmp/nexus-second-");
    const { code, err } = await runNexus([
      "daemon",
      "--state-dir",
      join(directory, "state"),
      "--run-dir",
      join(directory, "run"),
      "--socket",
      join(directory, "s.sock"),
    ]);
    rmSync(directory, { recursive: true });
    assert.equal(code, 5, err);
    assert.match(err, new RegExp(`pid ${bed.daemon.pid}`));
    await bed.allIsWell();
  });
});

async function listed(bed: Bed): Promise<string> {
  const [networks, guests] = await Promise.all([bed.client.call("network.list"), bed.client.call("guest.list")]);
  return JSON.stringify([networks.map((network) => ({ ...network, counters: undefined })), guests]);
}
