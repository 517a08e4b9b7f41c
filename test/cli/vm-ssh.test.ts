import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { sshArguments, sshTargetOf } from "../../src/cli/ssh-command.ts";
import type { GuestView } from "../../src/spec/views.ts";
import { fakeDaemon } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";

const scratch = mkdtempSync(join(tmpdir(), "nexus-ssh-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const web = {
  name: "web",
  kind: "vm",
  state: "running",
  createdAt: "2026-01-01T00:00:00.000Z",
  restarts: 0,
  attachments: [],
  publish: [],
} as unknown as GuestView;
const on = (...addresses: string[]) => ({ ...web, attachments: [{ addresses }] }) as unknown as GuestView;

describe("where the SSH of a virtual machine is", () => {
  it("is the forwarded port in user mode, else its IPv4 address, else what it has", () => {
    assert.deepEqual(sshTargetOf({ ...web, sshPort: 2225 }), { host: "127.0.0.1", port: 2225 });
    assert.deepEqual(sshTargetOf(on("fd00::5/64", "10.0.0.5/24")), { host: "10.0.0.5", port: 22 });
    assert.deepEqual(sshTargetOf(on("fd00::5/64")), { host: "fd00::5", port: 22 });
    assert.throws(() => sshTargetOf({ ...web, state: "exited" }), /vm web is exited/);
    assert.throws(() => sshTargetOf(web), /no address/);
  });
});

describe("the words given to ssh", () => {
  const target = { host: "127.0.0.1", port: 2222 };
  const choice = { user: "root", identity: undefined, ownKey: undefined, command: [], stateDir: join(scratch, 'a "b" 100%') };

  it("end the options before the address, so that no word of a command is one", () => {
    const words = sshArguments(web, target, { ...choice, user: "-oProxyCommand=x", command: ["-V", "a b"] });
    assert.deepEqual(words.slice(-8), ["-l", "-oProxyCommand=x", "-p", "2222", "--", "127.0.0.1", "-V", "a b"]);
  });

  it("name a file of host keys for this very guest, and forget its namesakes", () => {
    const directory = join(choice.stateDir, "ssh/known_hosts");
    const [, file] = sshArguments(web, target, choice);
    assert.equal(file, `UserKnownHostsFile="${join(scratch, 'a \\"b\\" 100%%')}/ssh/known_hosts/web@1767225600000"`);
    writeFileSync(join(directory, "web@1767225600000"), "");
    writeFileSync(join(directory, "web-2@5"), "");
    sshArguments({ ...web, createdAt: "2026-01-02T00:00:00.000Z" }, target, choice);
    assert.deepEqual(readdirSync(directory), ["web-2@5"]);
  });

  it("take the key that is asked for and no other, or the caller's own beside ssh's", () => {
    assert.equal(sshArguments(web, target, choice).includes("-i"), false);
    const own = { ...choice, ownKey: "/own" };
    assert.ok(sshArguments(web, target, own).join(" ").includes("-i /own -l"));
    assert.ok(
      sshArguments(web, target, { ...own, identity: "/k" })
        .join(" ")
        .includes("-i /k -o IdentitiesOnly=yes"),
    );
  });
});

describe("nexus ssh", { timeout: 30_000 }, () => {
  const bin = join(scratch, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "ssh"), `#!/bin/sh\nprintf '%s\\n' "$@" >${scratch}/words\nexit 7\n`);
  chmodSync(join(bin, "ssh"), 0o755);
  const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: scratch };

  /** A daemon with one guest, whose port answers so. */
  async function guestThatAnswers(answer: (socket: Socket) => void, view: Partial<GuestView> = {}) {
    const server = createServer((socket) => answer(socket.on("error", () => {})));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const sshPort = (server.address() as AddressInfo).port;
    const shown = { ...web, sshPort, ...view };
    const daemon = await fakeDaemon({ "vm.get": async () => shown, "guest.list": async () => [shown] });
    return {
      sshPort,
      ask: (...words: string[]) => nexus(daemon.socketPath, words, "", env),
      async [Symbol.asyncDispose]() {
        server.close();
        await daemon[Symbol.asyncDispose]();
      },
    };
  }

  it("runs the host's ssh when the guest's server greets, and ends as it does", async () => {
    await using guest = await guestThatAnswers((socket) => socket.end("welcome\r\nSSH-2.0-test\r\n"));
    for (const verb of [["vm", "ssh"], ["ssh"]]) {
      rmSync(join(scratch, "words"), { force: true });
      assert.deepEqual(await guest.ask(...verb, "web", "--user", "debian", "--", "uptime", "-p"), { code: 7, stdout: "", stderr: "" });
      const words = readFileSync(join(scratch, "words"), "utf8").trimEnd().split("\n");
      assert.deepEqual(words.slice(-8), ["-l", "debian", "-p", String(guest.sshPort), "--", "127.0.0.1", "uptime", "-p"]);
      assert.ok(words.includes("HostKeyAlias=web"));
    }
  });

  it("waits for a server that comes up a little later", async () => {
    let asked = 0;
    await using guest = await guestThatAnswers((socket) => socket.end(asked++ === 0 ? "" : "SSH-2.0-late\r\n"));
    assert.deepEqual(await guest.ask("ssh", "web"), { code: 7, stdout: "", stderr: "waiting for the SSH server of web\n" });
  });

  it("says when none answers, and what to do instead", async () => {
    for (const [answer, why] of [
      ["", /the connection is closed at once/],
      ["HTTP/1.1 400 Bad Request\r\n\r\n", /another program answers there/],
    ] as const) {
      await using guest = await guestThatAnswers((socket) => socket.end(answer));
      const ran = await guest.ask("ssh", "web", "--wait", "300ms");
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, why);
      assert.match(ran.stderr, /nexus vm console web/);
    }
  });

  it("says when the guest does not run, and when there is no ssh", async () => {
    await using guest = await guestThatAnswers((socket) => socket.end(), { state: "stopped" });
    const stopped = await guest.ask("ssh", "web");
    assert.equal(stopped.code, 5);
    assert.match(stopped.stderr, /vm web is stopped\n.*nexus vm start web/);
    env.PATH = scratch;
    const missing = await guest.ask("ssh", "web");
    assert.match(missing.stderr, /there is no ssh program here\n.*openssh-client/);
    assert.equal(existsSync(join(scratch, "ssh")), false);
  });
});
