import { type FileHandle, open } from "node:fs/promises";
import { type AuditRecord, auditLine } from "../services/egress/audit.ts";

/** A command that asks without rest must not fill the disk; the daemon's figures still count all of it. */
const mostBytes = 64 * 1024 * 1024;
/** Of that for refusals, which cost a command nothing: they must not take the room of what was allowed. */
const mostDenied = mostBytes / 2;

/** Judgements of one run, a JSON line each, in a file of the daemon's alone. Made when there is the first. */
export class AuditFile {
  readonly #path: string;
  #waiting: string[] = [];
  #bytes = 0;
  #left = 0;
  #writing: Promise<void> | undefined;
  #file: FileHandle | undefined;
  /** Why lines could not be written. */
  problem: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  write(record: AuditRecord): void {
    const line = auditLine(record);
    if (this.#bytes + line.length > (record.decision === "allow" ? mostBytes : mostDenied)) {
      this.#left++;
      return;
    }
    this.#bytes += line.length;
    this.#waiting.push(line);
    this.#writing ??= this.#writeAll();
  }

  /** All that was given is in the file. */
  async close(): Promise<void> {
    if (this.#left > 0) {
      this.#waiting.push(`${JSON.stringify({ time: new Date().toISOString(), leftOut: this.#left })}\n`);
      this.#writing ??= this.#writeAll();
    }
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #writeAll(): Promise<void> {
    try {
      this.#file ??= await open(this.#path, "ax", 0o600);
      while (this.#waiting.length > 0) await this.#file.appendFile(this.#waiting.splice(0).join(""));
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      this.#waiting = [];
    } finally {
      this.#writing = undefined;
    }
  }
}
