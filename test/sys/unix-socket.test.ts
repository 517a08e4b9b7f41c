import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { KernelError, NexusError } from "../../src/base/errors.ts";
import { ConsoleSocket, resizeTerminal } from "../../src/kernel/console-socket.ts";
import { callerOf, sendWithDescriptors, takeAbstractLock } from "../../src/kernel/unix-socket.ts";
import { duplicate, openFile } from "../../src/sys/fd.ts";
import { errnoName, errnoNumber, errnoText } from "../../src/sys/errno.ts";
import { tryLockFile } from "../../src/sys/lock.ts";
import { notifySupervisor } from "../../src/sys/notify.ts";
import { openPty } from "../../src/sys/pty.ts";
import { bindSocket, family, openSocket, socketType } from "../../src/sys/socket.ts";
import { unixAddress } from "../../src/sys/unix-socket.ts";
import { constants } from "node:fs";

const directory = mkdtempSync(join(tmpdir(), "sys-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

describe("unix sockets", () => {
  test("tell who connected", { timeout: 5000 }, async () => {
    const server = createServer();
    server.listen(join(directory, "server"));
    await once(server, "listening");
    const client = createConnection(join(directory, "server"));
    const [accepted] = (await once(server, "connection")) as [ReturnType<typeof createConnection>];
    assert.deepEqual(callerOf(accepted), { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    client.destroy();
    accepted.destroy();
    server.close();
    await once(server, "close");
    assert.throws(() => callerOf(accepted), NexusError);
  });

  test("serve as a lock that names its holder and ends with it", () => {
    const name = `nexus-test-${process.pid}`;
    const first = takeAbstractLock(name);
    assert.equal(first.kind, "held");
    const second = takeAbstractLock(name);
    assert.ok(second.kind === "taken");
    assert.equal(second.holder?.pid, process.pid);
    if (first.kind === "held") first.lock[Symbol.dispose]();
    const third = takeAbstractLock(name);
    assert.ok(third.kind === "held");
    third.lock[Symbol.dispose]();
  });

  test("refuse a path longer than the kernel takes, rather than cut it", () => {
    assert.throws(
      () => unixAddress(`/${"x".repeat(107)}`),
      (error: unknown) => error instanceof KernelError && error.errno === "ENAMETOOLONG",
    );
    assert.equal(unixAddress(`/${"x".repeat(106)}`).length, 110);
    assert.deepEqual(unixAddress("@a"), Uint8Array.of(1, 0, 0, 97));
  });

  test("carry a supervisor's notice, and none when there is no supervisor", () => {
    const path = join(directory, "notify");
    using listener = openSocket(family.unix, socketType.datagram);
    bindSocket(listener, unixAddress(path), "bind");
    assert.equal(notifySupervisor(path, { READY: "1", STATUS: "two\nlines" }), true);
    const bytes = Buffer.alloc(100);
    assert.equal(bytes.toString("utf8", 0, readSync(listener.number, bytes)), "READY=1\nSTATUS=two lines");
    assert.equal(notifySupervisor(undefined, { READY: "1" }), false);
    assert.equal(notifySupervisor(join(directory, "nobody"), { READY: "1" }), false);
  });
});

describe("descriptors sent along", () => {
  test("arrive in order as the files they are, with the bytes, and the sender keeps its own", { timeout: 10_000 }, async () => {
    const path = join(directory, "rights");
    const script =
      "import os,socket,sys\ns=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up',flush=True)\nc,_=s.accept(); b,fds,_,_=socket.recv_fds(c,100,8)\nprint(b.decode(),*[os.readlink(f'/proc/self/fd/{fd}') for fd in fds])";
    const receiver = spawn("python3", ["-c", script, path], { stdio: ["ignore", "pipe", "inherit"] });
    const closed = once(receiver, "close");
    const said = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    assert.equal((await said.next()).value, "up");
    const socket = createConnection(path);
    await once(socket, "connect");
    using a = openFile("/dev/null", constants.O_RDONLY);
    using b = openFile("/dev/zero", constants.O_RDONLY);
    using c = openFile("/dev/full", constants.O_RDONLY);
    sendWithDescriptors(socket, Buffer.from("three"), [a.number, b.number, c.number]);
    assert.equal((await said.next()).value, "three /dev/null /dev/zero /dev/full");
    assert.equal(readSync(b.number, Buffer.alloc(4)), 4);
    socket.destroy();
    await Promise.all([once(socket, "close"), closed]);
    assert.throws(() => sendWithDescriptors(socket, Buffer.from("x"), [a.number]), NexusError);
  });
});

describe("terminals", () => {
  test("arrive through a console socket and can be resized", { timeout: 10_000 }, async () => {
    const path = join(directory, "console");
    using socket = new ConsoleSocket(path);
    const before = readdirSync("/proc/self/fd").length;
    const sender = sendTerminal(path);
    using terminal = await socket.receive({ timeoutMs: 5000 });
    await sender;
    resizeTerminal(terminal, { columns: 123, rows: 45 });
    assert.match(execFileSync("stty", ["size"], { encoding: "utf8", stdio: [terminal.number, "pipe", "inherit"] }), /^45 123/);
    assert.match(readFileSync(`/proc/self/fdinfo/${terminal.number}`, "utf8"), /flags:\s+0?2\d{6}/, "close-on-exec is set");
    terminal[Symbol.dispose]();
    assert.equal(readdirSync("/proc/self/fd").length, before);
  });

  test("are taken when they came, though their sender was heard to end first", { timeout: 10_000 }, async () => {
    const path = join(directory, "ended");
    using socket = new ConsoleSocket(path);
    await sendTerminal(path);
    using terminal = await socket.receive({ timeoutMs: 5000, signal: AbortSignal.abort(new Error("the sender ended")) });
    resizeTerminal(terminal, { columns: 80, rows: 24 });
    using silent = new ConsoleSocket(join(directory, "never"));
    await assert.rejects(silent.receive({ timeoutMs: 5000, signal: AbortSignal.abort(new Error("the sender ended")) }), /the sender ended/);
  });

  test("are waited for with a deadline", { timeout: 5000 }, async () => {
    using socket = new ConsoleSocket(join(directory, "silent"));
    await assert.rejects(socket.receive({ timeoutMs: 20 }), (error: unknown) => error instanceof NexusError && error.code === "timeout");
  });

  test("have two ends, the peer named by its path", () => {
    using pair = openPty();
    assert.match(pair.path, /^\/dev\/pts\/\d+$/);
    resizeTerminal(pair.controller, { columns: 80, rows: 24 });
    assert.equal(execFileSync("stty", ["size"], { encoding: "utf8", stdio: [pair.peer.number, "pipe", "inherit"] }), "24 80\n");
  });
});

describe("files", () => {
  test("have the mode asked for whatever the umask, and are closed on exec", () => {
    const old = process.umask(0o777);
    const path = join(directory, "file");
    try {
      using fd = openFile(path, constants.O_RDWR | constants.O_CREAT, 0o640);
      using copy = duplicate(fd);
      for (const number of [fd.number, copy.number]) assert.match(readFileSync(`/proc/self/fdinfo/${number}`, "utf8"), /flags:\s+0?2\d{6}/);
    } finally {
      process.umask(old);
    }
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.throws(
      () => openFile(join(directory, "none"), constants.O_RDONLY),
      (error: unknown) => error instanceof KernelError && /^open .*none: ENOENT \(No such file or directory\)$/.test(error.message),
    );
  });

  test("are locked by one at a time", () => {
    const path = join(directory, "lock");
    using first = tryLockFile(path);
    assert.ok(first);
    assert.equal(tryLockFile(path), undefined);
    first[Symbol.dispose]();
    using again = tryLockFile(path);
    assert.ok(again);
  });
});

test("errno numbers have the kernel's names and strerror's texts", () => {
  assert.equal(errnoName(2), "ENOENT");
  assert.equal(errnoText(95), "Operation not supported");
  assert.equal(errnoName(524), "ENOTSUPP");
  assert.equal(errnoName(4711), "errno 4711");
  assert.equal(errnoNumber("EEXIST"), 17);
  assert.equal(errnoNumber("ENOTHING"), undefined);
});

/** Python is another program that speaks SCM_RIGHTS: it makes a terminal and sends it as an OCI runtime does. */
async function sendTerminal(path: string): Promise<void> {
  const script =
    "import os,pty,socket,sys,array; m,s=pty.openpty(); c=socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); socket.send_fds(c,[b'/dev/pts/x'],[m]); c.close()";
  const child = spawn("python3", ["-c", script, path], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 0);
}
