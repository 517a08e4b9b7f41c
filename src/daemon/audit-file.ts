import { type FileHandle, open } from "node:fs/promises";
import { type AuditRecord, auditLine } from "../services/egress/audit.ts";

/**
 * A command that asks without rest must not fill the disk; the daemon's figures still count all of it. Room for what was allowed and
 * for what was refused, each its own: a flood of one must not hide the other.
 */
const mostBytes = 32 * 1024 * 1024;

/** Judgements of one run, a JSON line each, in a file of the daemon's alone. Made when there is the first. */
export class AuditFile {
  readonly #path: string;
  readonly #bytes = { allow: 0, deny: 0 };
  #waiting: string[] = [];
  #writing: Promise<void> | undefined;
  #file: FileHandle | undefined;
  /** Lines for which there was no room. */
  left = 0;
  /** Why lines could not be written. */
  problem: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  write(record: AuditRecord): void {
    const line = auditLine(record);
    if (this.#bytes[record.decision] + line.length > mostBytes) {
      this.left++;
      return;
    }
    this.#bytes[record.decision] += line.length;
    this.#waiting.push(line);
    this.#writing ??= this.#writeAll();
  }

  /** All that was given is in the file. */
  async close(): Promise<void> {
    if (this.left > 0) {
      this.#waiting.push(`${JSON.stringify({ time: new Date().toISOString(), leftOut: this.left })}\n`);
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
