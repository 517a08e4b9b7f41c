import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { Name } from "../../src/base/names.ts";
import { Chronicle } from "../../src/daemon/chronicle.ts";
import type { Facilities } from "../../src/daemon/facilities.ts";
import { openFacilities } from "../../src/daemon/open-facilities.ts";
import { facilitySpec } from "../../src/spec/facility.ts";
import type { CloneCredential } from "../../src/spec/facility.ts";
import type { State } from "../../src/state/state.ts";
import { clock, openState } from "../state/sample.ts";

const ever = new AbortController().signal;

/** Facilities on real disks, as root's daemon has them, in a directory of their own. */
export class FacilityBed implements AsyncDisposable {
  /** On a disk, where /tmp need not be, and open for the facilities' uids to pass. */
  readonly directory = mkdtempSync("/var/tmp/nexus-facility-");
  state: State;
  facilities: Facilities;

  constructor() {
    chmodSync(this.directory, 0o755);
    this.state = openState(join(this.directory, "state"));
    this.facilities = this.#open();
  }

  /** As after a daemon that was killed: nothing was closed. */
  restart(): void {
    this.state[Symbol.dispose]();
    this.state = openState(join(this.directory, "state"));
    this.facilities = this.#open();
  }

  get mounts(): string {
    return join(this.directory, "run/facilities");
  }

  workspace(name: string): string {
    return join(this.mounts, name, "work");
  }

  async make(
    name: string,
    given: object = {},
    how: { credential?: CloneCredential; progress?: (line: string) => void } = {},
  ): Promise<void> {
    const spec = facilitySpec.parse({ name, size: "48M", ...given });
    await this.facilities.create(spec, { progress() {}, signal: ever, ...how });
  }

  /** A line of shell as the facility's own uid, in its workspace: what a sandbox could do there. */
  async sh(name: string, line: string): Promise<{ code: number; said: string }> {
    const { uid } = await this.facilities.inspect(name as Name);
    const words = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "sh", "-c", line];
    try {
      return { code: 0, said: execFileSync("setpriv", words, { cwd: this.workspace(name), encoding: "utf8", stdio: "pipe" }) };
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      return { code: status, said: stderr };
    }
  }

  async diff(name: string, since: "create" | "run" = "create", limitBytes = 1 << 24) {
    const found = await this.facilities.diff(name as Name, { since, limitBytes, signal: ever });
    return { ...found, text: found.patch.toString("latin1"), paths: found.files.map(({ path }) => path) };
  }

  async artifacts(name: string, globs: string[], limits = { files: 1000, bytes: 1e9 }) {
    return await this.facilities.artifacts(name as Name, { globs, limits, signal: ever });
  }

  async remove(name: string): Promise<void> {
    await this.facilities.remove(name as Name, { force: true });
  }

  #open(): Facilities {
    const places = { stateDir: join(this.directory, "state"), runDir: join(this.directory, "run") };
    return openFacilities({ places, state: this.state, chronicle: new Chronicle(this.state.events, clock, silentLog), clock });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { name } of await this.facilities.list()) await this.remove(name);
    this.state[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
