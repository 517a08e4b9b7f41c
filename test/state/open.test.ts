import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, NexusError } from "../../src/base/errors.ts";
import { Database } from "../../src/state/database.ts";
import { migrations } from "../../src/state/schema.ts";
import { guest, network, openState, temporaryDirectory } from "./sample.ts";

test("the directory is 0700 and its files 0600, whatever the umask says", () => {
  using base = temporaryDirectory();
  const before = process.umask(0);
  try {
    const directory = join(base.path, "deep", "state");
    using state = openState(directory);
    state.settings.set("a", 1);
    assert.equal(mode(directory), 0o700);
    for (const file of ["nexus.db", "nexus.db-wal", "nexus.db-shm", "nexusd.lock"]) assert.equal(mode(join(directory, file)), 0o600, file);
  } finally {
    process.umask(before);
  }
});

test("a second opener is refused with the pid of the first, until the first is disposed", () => {
  using directory = temporaryDirectory();
  {
    using first = openState(directory.path);
    const error = refused(() => openState(directory.path), "daemon-running");
    assert.match(error.message, new RegExp(`pid ${process.pid}\\b`));
    assert.equal(error.details?.["pid"], process.pid);
    first.settings.set("still", "writable");
  }
  using again = openState(directory.path);
  assert.equal(again.settings.all().get("still"), "writable");
});

test("the identity is made once and kept", () => {
  using directory = temporaryDirectory();
  const first = identity(directory.path);
  assert.match(first.instance, /^[0-9a-f]{32}$/);
  assert.ok(first.hostId >= 0n && first.hostId < 1n << 40n);
  assert.deepEqual(identity(directory.path), first);
  using other = temporaryDirectory();
  assert.notEqual(identity(other.path).instance, first.instance);
});

test("an older schema is migrated with its rows, and a step that fails leaves the version before it", () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "nexus.db");
  {
    using old = new Database(file, migrations);
    old.prepare("INSERT INTO settings (key, value) VALUES ('kept', '1')").run();
  }
  const step = "ALTER TABLE settings ADD COLUMN author TEXT NOT NULL DEFAULT 'unknown'; UPDATE settings SET author = 'migrated'";
  refused(() => new Database(file, [...migrations, `${step}; INSERT INTO no_such_table VALUES (1)`]), "internal");
  {
    using same = new Database(file, migrations);
    assert.deepEqual({ ...same.prepare("SELECT * FROM settings").get() }, { key: "kept", value: "1" });
  }
  using next = new Database(file, [...migrations, step]);
  assert.deepEqual({ ...next.prepare("SELECT * FROM settings").get() }, { key: "kept", value: "1", author: "migrated" });
  assert.deepEqual({ ...next.prepare("PRAGMA user_version").get() }, { user_version: migrations.length + 1 });
});

test("a newer schema is refused and left as it is", () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "nexus.db");
  new Database(file, [...migrations, "CREATE TABLE future (x) STRICT".replace("(x)", "(x TEXT)")])[Symbol.dispose]();
  const before = readFileSync(file);
  const error = refused(() => openState(directory.path), "state-corrupt");
  assert.match(error.message, new RegExp(`newer Nexus \\(schema ${migrations.length + 1}; this one reads up to ${migrations.length}\\)`));
  assert.deepEqual(readFileSync(file), before);
});

for (const [what, damage] of Object.entries<(file: string) => void>({
  "no database at all": (file) => writeFileSync(file, "These are not the bytes of a database. ".repeat(300)),
  "a damaged header": (file) => overwrite(file, 16, Buffer.alloc(60, 0xff)),
  "a damaged page": (file) => overwrite(file, 4096 * 3, Buffer.alloc(4096, 0xa5)),
  "a file cut short": (file) => truncateSync(file, 4096 * 5 + 100),
})) {
  test(`${what} is told as state-corrupt, with the file's name, and nothing is deleted`, () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, "nexus.db");
    {
      using state = openState(directory.path);
      const net = network("default", 1);
      state.networks.insert(net);
      for (let n = 2; n < 60; n++) state.guests.insert(guest(net, n));
    }
    damage(file);
    const before = readFileSync(file);
    const error = refused(() => openState(directory.path), "state-corrupt");
    assert.ok(error.message.includes(file), error.message);
    assert.match(error.hint ?? "", /restore|move it away/);
    assert.deepEqual(readFileSync(file), before);
    // The failed opening kept no lock: the same answer comes again.
    refused(() => openState(directory.path), "state-corrupt");
  });
}

test("rows that refer to nothing are told as state-corrupt", () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "nexus.db");
  {
    using db = new Database(file, migrations);
    db.prepare("PRAGMA foreign_keys = OFF").get();
    db.prepare("INSERT INTO attachments VALUES ('ghost', 0, 'nowhere', 'n0', '02:00:00:00:00:00', 1)").run();
  }
  assert.match(refused(() => openState(directory.path), "state-corrupt").message, /attachments/);
});

test(
  "a directory that cannot be written is told as not-permitted, with its name",
  { skip: process.getuid?.() !== 0 && "needs root, to become somebody else" },
  () => {
    using base = temporaryDirectory();
    chmodSync(base.path, 0o755);
    const directory = join(base.path, "state");
    mkdirSync(directory, { mode: 0o755 });
    const error = asNobody(() => refused(() => openState(directory), "not-permitted"));
    assert.ok(error.message.includes(directory), error.message);
    asNobody(() => refused(() => openState(join(directory, "below")), "not-permitted"));
    // The database of somebody else in a directory of ours.
    chownSync(directory, 65534, 65534);
    writeFileSync(join(directory, "nexus.db"), "", { mode: 0o600 });
    asNobody(() => refused(() => openState(directory), "not-permitted"));
  },
);

test("a directory that others can write is refused", () => {
  using base = temporaryDirectory();
  chmodSync(base.path, 0o777);
  assert.match(refused(() => openState(base.path), "not-permitted").hint ?? "", /chmod 700/);
});

function identity(directory: string) {
  using state = openState(directory);
  return state.identity;
}

function refused(work: () => unknown, code: ErrorCode): NexusError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof NexusError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  throw new assert.AssertionError({ message: `${code} was expected` });
}

function asNobody<T>(work: () => T): T {
  process.seteuid?.(65534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(file, "r+");
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}
