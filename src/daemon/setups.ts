import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import { readGuestFile } from "../guests/qga-files.ts";
import type { GuestAgent } from "../guests/qga.ts";
import { findAlias } from "../images/vm-aliases.ts";
import type { SetupView } from "../spec/views.ts";
import type { GuestRecord } from "../state/rows.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Machine } from "./kinds.ts";

export type SetupsOptions = {
  chronicle: Chronicle;
  /** Where the guest says how it went; undefined when there is nothing to learn. */
  reportOf: (guest: Machine) => { status: string; log: string } | undefined;
  agent: (guest: Machine, limit: { timeoutMs: number; signal: AbortSignal }) => Promise<Disposable & { value: GuestAgent }>;
};

/** Finds out how virtual machines get on with what they set up themselves, by asking their agents. */
export class Setups implements Disposable {
  readonly #o: SetupsOptions;
  readonly #watched = new Map<Name, { id: string; view: SetupView; ending: AbortController }>();

  constructor(options: SetupsOptions) {
    this.#o = options;
  }

  /** Undefined for a guest that is not live, or has nothing to set up. */
  of(name: Name): SetupView | undefined {
    return this.#watched.get(name)?.view;
  }

  guestChanged(guest: GuestRecord, live: boolean): void {
    const known = this.#watched.get(guest.name);
    if (live && known?.id === guest.id) return;
    known?.ending.abort();
    this.#watched.delete(guest.name);
    const report = live && guest.kind === "vm" ? this.#o.reportOf(guest) : undefined;
    if (report === undefined || guest.kind !== "vm") return;
    const ending = new AbortController();
    const view: SetupView = { state: "pending" };
    this.#watched.set(guest.name, { id: guest.id, view, ending });
    // What was over before this daemon came was told by the one before it.
    const adopted = guest.state === "running" || guest.state === "stopping";
    void this.#follow({ guest, view, report, told: adopted, signal: ending.signal });
  }

  [Symbol.dispose](): void {
    for (const { ending } of this.#watched.values()) ending.abort();
    this.#watched.clear();
  }

  async #follow(watch: Watch): Promise<void> {
    for (let pause = shortestPauseMs; !watch.signal.aborted; pause = Math.min(pause * 1.5, longestPauseMs)) {
      const status = await this.#read(watch, watch.report.status);
      if (watch.signal.aborted) return;
      if (status !== undefined && /^(ok|failed)\b/.test(status)) return await this.#end(watch, status.trim());
      // Seen on its way: the end is news, whoever was there at its beginning.
      if (status !== undefined) watch.told = false;
      await delay(pause, undefined, { signal: watch.signal }).catch(() => {});
    }
  }

  async #end(watch: Watch, status: string): Promise<void> {
    const { guest, view, told } = watch;
    if (status === "ok") {
      view.state = "done";
      if (!told) this.#o.chronicle.tell({ kind: "vm.ready", subject: guest.name, message: `vm ${guest.name} is set up` });
      return;
    }
    const said = status.replace(/^failed */, "").slice(0, 1000);
    const lines = lastLines(await this.#read(watch, watch.report.log));
    if (watch.signal.aborted) return;
    Object.assign(view, { state: "failed", said: lines.length === 0 ? said : `${said}: ${lines.at(-1) ?? ""}` });
    if (told) return;
    const message = `vm ${guest.name} could not be set up: ${said}`;
    this.#o.chronicle.tell({ kind: "vm.setup-failed", subject: guest.name, message, details: { lastLines: lines } });
  }

  /** A file of the guest, at most its first MiB; undefined while it is not there, or nobody answers. */
  async #read({ guest, signal }: Watch, path: string): Promise<string | undefined> {
    try {
      using lease = await this.#o.agent(guest, { timeoutMs: agentPatienceMs, signal });
      const { bytes } = await readGuestFile(lease.value, path, { maxBytes: largestReport });
      return Buffer.from(bytes).toString("utf8");
    } catch (error) {
      if (error instanceof NexusError || signal.aborted) return undefined;
      throw error;
    }
  }
}

/** Who logs in by SSH: the one asked for, or the image's own. */
export function sshUserOf(guest: GuestRecord): string | undefined {
  if (guest.kind !== "vm") return undefined;
  return guest.spec.setup?.user ?? findAlias(guest.spec.image, { arch: "x64" })?.user;
}

type Watch = { guest: Machine; view: SetupView; report: { status: string; log: string }; told: boolean; signal: AbortSignal };

/** What a guest says is the guest's word, for people to read. What our own script says of steps is known already. */
function lastLines(log = ""): string[] {
  const lines = log
    .split("\n")
    .map((line) => line.replace(/\r$/, "").slice(0, 500))
    .filter((line) => line.trim() !== "" && !line.startsWith("nexus: "));
  return lines.slice(-linesTold);
}

const shortestPauseMs = 50;
const longestPauseMs = 1000;
const agentPatienceMs = 30_000;
const largestReport = 1024 * 1024;
const linesTold = 20;
