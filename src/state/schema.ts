/**
 * The schema, as the steps that lead to it. Step n makes version n (PRAGMA user_version) out of version n-1.
 * A step that was released is never edited; what changes is a new step at the end.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    instance TEXT NOT NULL CHECK (length(instance) = 32),
    host TEXT NOT NULL CHECK (length(host) = 10),
    -- Of the machine's start during which a daemon last ran.
    boot TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE networks (
    name TEXT PRIMARY KEY,
    idx INTEGER NOT NULL UNIQUE CHECK (idx BETWEEN 1 AND 16777215),
    bridge TEXT NOT NULL UNIQUE,
    mac TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE subnets (
    network TEXT NOT NULL REFERENCES networks ON DELETE CASCADE,
    position INTEGER NOT NULL,
    prefix TEXT NOT NULL UNIQUE,
    gateway TEXT NOT NULL,
    PRIMARY KEY (network, position)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE guests (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('container', 'netns')),
    spec TEXT NOT NULL,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'absent')),
    state TEXT NOT NULL CHECK (state IN ('created', 'starting', 'running', 'stopping', 'stopped', 'exited', 'failed')),
    exit TEXT,
    problem TEXT,
    restarts INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    runtime TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER
  ) STRICT, WITHOUT ROWID;
  -- A guest on its way out does not keep its name from the next one.
  CREATE UNIQUE INDEX guests_name ON guests (name) WHERE desired <> 'absent';

  CREATE TABLE attachments (
    guest TEXT NOT NULL REFERENCES guests ON DELETE CASCADE,
    nic INTEGER NOT NULL CHECK (nic BETWEEN 0 AND 15),
    network TEXT NOT NULL REFERENCES networks,
    host_interface TEXT NOT NULL UNIQUE,
    mac TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (guest, nic)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attachments_network ON attachments (network);

  CREATE TABLE leases (
    network TEXT NOT NULL REFERENCES networks,
    address TEXT NOT NULL,
    guest TEXT NOT NULL,
    nic INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (network, address),
    FOREIGN KEY (guest, nic) REFERENCES attachments ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX leases_guest ON leases (guest, nic);

  CREATE TABLE remembered (
    seq INTEGER PRIMARY KEY,
    network TEXT NOT NULL REFERENCES networks ON DELETE CASCADE,
    owner TEXT NOT NULL,
    family INTEGER NOT NULL CHECK (family IN (4, 6)),
    address TEXT NOT NULL,
    UNIQUE (network, owner, family)
  ) STRICT;

  CREATE TABLE publishes (
    guest TEXT NOT NULL REFERENCES guests ON DELETE CASCADE,
    position INTEGER NOT NULL,
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
    host_address TEXT NOT NULL,
    host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),
    host_port_end INTEGER NOT NULL CHECK (host_port_end BETWEEN host_port AND 65535),
    guest_port INTEGER NOT NULL CHECK (guest_port BETWEEN 1 AND 65535),
    PRIMARY KEY (guest, position),
    UNIQUE (protocol, host_port, host_address)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sysctls (
    path TEXT PRIMARY KEY,
    previous TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    details TEXT
  ) STRICT;

  CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Guests may be virtual machines. SQLite changes a constraint only by making the table anew.
  `
  CREATE TABLE guests_next (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('container', 'vm', 'netns')),
    spec TEXT NOT NULL,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'absent')),
    state TEXT NOT NULL CHECK (state IN ('created', 'starting', 'running', 'stopping', 'stopped', 'exited', 'failed')),
    exit TEXT,
    problem TEXT,
    restarts INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    runtime TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER
  ) STRICT, WITHOUT ROWID;
  INSERT INTO guests_next SELECT * FROM guests;
  DROP TABLE guests;
  ALTER TABLE guests_next RENAME TO guests;
  CREATE UNIQUE INDEX guests_name ON guests (name) WHERE desired <> 'absent';
  -- What specifications have gained since, as its default.
  UPDATE networks SET spec = json_set(spec, '$.dhcp', json('true'), '$.labels', json('{}'));
  UPDATE guests SET spec = json_set(spec, '$.volumes', json('[]'), '$.aliases', json('[]'), '$.labels', json('{}')) WHERE kind = 'container';
  `,
  // Workspaces of sandboxed commands.
  `
  CREATE TABLE facilities (
    name TEXT PRIMARY KEY,
    -- Which uid its files belong to.
    idx INTEGER NOT NULL UNIQUE CHECK (idx BETWEEN 1 AND 65535),
    spec TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('making', 'ready', 'leaving')),
    -- Of the run that has it; with epoch, which goes up with every lock taken or broken, the proof that it still has.
    holder TEXT,
    held_since INTEGER,
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK ((holder IS NULL) = (held_since IS NULL))
  ) STRICT, WITHOUT ROWID;
  `,
  // Commands in sandboxes.
  `
  CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    uid INTEGER NOT NULL,
    -- As asked, without the values of the environment.
    spec TEXT NOT NULL,
    detached INTEGER NOT NULL CHECK (detached IN (0, 1)),
    driver TEXT,
    state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'succeeded', 'failed', 'timed-out', 'cancelled', 'lost', 'refused')),
    reason TEXT,
    message TEXT,
    exit TEXT,
    output TEXT NOT NULL,
    egress TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    -- Whether nothing of its sandbox is left on the host.
    swept INTEGER NOT NULL CHECK (swept IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX runs_unswept ON runs (created_at) WHERE swept = 0;
  `,
  // Whether a run's limits hold for all of it, or for each process by itself.
  `
  ALTER TABLE runs ADD COLUMN limited_by TEXT CHECK (limited_by IN ('cgroups', 'rlimits'));
  `,
  // Which root file system a run had.
  `
  ALTER TABLE runs ADD COLUMN root TEXT;
  `,
];
