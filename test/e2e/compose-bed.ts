import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { root } from "./quickstart-bed.ts";
import type { Bed, Said } from "./recovery-bed.ts";

/** A directory with a compose file, and the command line run in it. */
export class ProjectBed implements Disposable {
  readonly directory: string;
  readonly #bed: Pick<Bed, "daemon">;
  readonly #temporary = mkdtempSync(join(tmpdir(), "nexus-compose-"));

  constructor(bed: Pick<Bed, "daemon">, name: string) {
    this.#bed = bed;
    this.directory = join(this.#temporary, name);
    mkdirSync(this.directory);
  }

  write(file: string, content: string): void {
    writeFileSync(join(this.directory, file), content);
  }

  /** `nexus ARGS` in the project's directory, as typed. */
  run(...args: string[]): Promise<Said> {
    return this.start(...args).said;
  }

  start(...args: string[]): { said: Promise<Said>; kill: (signal: NodeJS.Signals) => void } {
    const child = spawn(join(root, "nexus"), args, {
      cwd: this.directory,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        HOME: this.#temporary,
        XDG_STATE_HOME: this.#temporary,
        NEXUS_SOCKET: this.#bed.daemon.places.socket,
      },
    });
    const said = (async () => {
      const [out, err, [code]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, "close") as Promise<[number | null]>,
      ]);
      return { code, out, err };
    })();
    return { said, kill: (signal) => void child.kill(signal) };
  }

  [Symbol.dispose](): void {
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}
