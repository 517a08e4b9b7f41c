import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { testMini } from "../../scripts/test-mini.ts";

const root = join(import.meta.dirname, "../..");

export type Ran = { code: number | null; stdout: string; stderr: string };

/** Somebody who works on the machine: root, or a user by a number that needs no account. */
export type Person = { uid: number; groups?: readonly number[]; env?: Record<string, string> };

export const superuser: Person = { uid: 0 };
export const alice: Person = { uid: 64201 };
export const bob: Person = { uid: 64202 };
/** The number of the group `nexus` there. */
export const group = 64299;

/** The checkout, at a place everybody may read whatever is above it. */
const checkout = "/run/checkout";
/** As /tmp is: everybody's. */
export const shared = "/run/shared";
export const homeOf = ({ uid }: Person) => `/run/homes/${uid}`;
const cacheOf = (person: Person) => `${homeOf(person)}/cache`;

/** A bare machine with ordinary users: a network, a /run and a state of its own; a group `nexus`; the mini virtual machine built. */
export class UserBed implements AsyncDisposable {
  readonly #holder: ChildProcess;
  readonly #known = new Set<Person>();

  static async make(): Promise<UserBed> {
    // Everybody has a cache with the mini virtual machine in it, for no archive is in reach.
    const people = [superuser, alice, bob].map(
      ({ uid }) => `
      mkdir -p -m 700 /run/homes/${uid} /run/homes/${uid}/cache/vm/mini
      cp -r "$2"/built.json "$2"/[0-9a-f]*[0-9a-f] /run/homes/${uid}/cache/vm/mini/
      chown -R ${uid}:${uid} /run/homes/${uid}`,
    );
    const furnish = `
      set -e
      for place in /run /var/lib /var/cache /etc/nexus; do [ ! -d $place ] || mount -t tmpfs -o mode=755 tmpfs $place; done
      mkdir ${checkout} /run/homes; mkdir -m 1777 ${shared}
      mount --bind "$1" ${checkout}
      { cat /etc/group; echo nexus:x:${group}:; } >/run/group; mount --bind /run/group /etc/group
      ${people.join("\n")}
      ip link set lo up
      echo ready
      read end`;
    const holder = spawn("unshare", ["-n", "-m", "--propagation", "private", "sh", "-c", furnish, "sh", root, testMini], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ready = await createInterface({ input: holder.stdout })[Symbol.asyncIterator]().next();
    if (ready.value !== "ready") throw new Error("the namespaces could not be made");
    return new UserBed(holder);
  }

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** Any command, as that person, in the checkout. */
  run(person: Person, command: readonly string[]): Ran {
    const [program, ...words] = this.#as(person, command);
    const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8", timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] });
    return { code: status, stdout, stderr };
  }

  start(person: Person, command: readonly string[]): ChildProcess {
    const [program, ...words] = this.#as(person, command);
    return spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] });
  }

  nexus(person: Person, line: string): Ran {
    return this.run(person, ["./nexus", ...line.split(" ")]);
  }

  /** What the command answers with --json. @throws Error with its words when it fails */
  asked<Answer>(person: Person, line: string): Answer {
    const ran = this.nexus(person, `${line} --json`);
    if (ran.code !== 0) throw new Error(`nexus ${line}: ${ran.stdout}${ran.stderr}`);
    return JSON.parse(ran.stdout) as Answer;
  }

  /** Only what these people's daemons know of is ended, and then they are. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const person of this.#known) {
      const guests = this.nexus(person, "vm ls --json --no-start");
      if (guests.code !== 0) continue;
      const names = (JSON.parse(guests.stdout) as { name: string }[]).map((guest) => guest.name);
      if (names.length > 0) this.nexus(person, `vm rm --force ${names.join(" ")}`);
      this.nexus(person, "daemon stop");
    }
    const gone = once(this.#holder, "close");
    this.#holder.stdin?.end("\n");
    await gone;
  }

  #as(person: Person, command: readonly string[]): [string, ...string[]] {
    this.#known.add(person);
    const { uid, groups = [], env = {} } = person;
    const variables = {
      PATH: process.env["PATH"] ?? "",
      HOME: homeOf(person),
      LC_ALL: "C.UTF-8",
      NEXUS_CACHE_DIR: cacheOf(person),
      ...env,
    };
    const rights = ["--reuid", uid, "--regid", uid, ...(groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.join(",")])];
    const enter = ["-t", String(this.#holder.pid), "-n", "-m"];
    const drop = uid === 0 ? [] : ["setpriv", ...rights.map(String), "--inh-caps=-all"];
    const clean = ["env", "-i", "-C", checkout, ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)];
    return ["nsenter", ...enter, ...drop, ...clean, ...command];
  }
}
