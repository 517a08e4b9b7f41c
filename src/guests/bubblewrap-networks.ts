import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { NexusError } from "../base/errors.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { Pidfd } from "../kernel/processes.ts";
import type { HolderAnswer, HolderRequest } from "./bubblewrap-holder.ts";

/** A network namespace with a listener in it. `enter`: words that start a program there. */
export type HeldNetwork = Disposable & { enter: readonly string[]; listener: Fd };

/**
 * Networks of sandboxes of an ordinary user, who may make namespaces but not enter them: a child of this process does both, in a user
 * namespace of its own, for as long as this process lives. Listeners are taken out of it (pidfd_getfd(2)) and served here.
 */
export class HeldNetworks implements Disposable {
  #holder: Promise<{ child: ChildProcess; process: Pidfd }> | undefined;
  readonly #waiting = new Map<number, PromiseWithResolvers<HolderAnswer>>();
  #requests = 0;

  /** @throws NexusError `unsupported` where the host lets ordinary users make no namespaces; KernelError */
  async open(port: number): Promise<HeldNetwork> {
    this.#holder ??= this.#start();
    const { child, process: holder } = await this.#holder;
    const answer = await this.#ask(child, { id: this.#requests++, port });
    if ("problem" in answer) throw refusal(answer.problem);
    const drop = (): void => void (child.connected && child.send({ id: this.#requests++, drop: [answer.netns, answer.listener] }));
    try {
      const listener = holder.descriptor(answer.listener);
      const enter = [
        "nsenter",
        "--preserve-credentials",
        `--user=/proc/${holder.pid}/ns/user`,
        `--net=/proc/${holder.pid}/fd/${answer.netns}`,
        "--",
      ];
      return { enter, listener, [Symbol.dispose]: drop };
    } catch (error) {
      drop();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    const holder = this.#holder;
    this.#holder = undefined;
    holder?.then(
      ({ child, process: pidfd }) => {
        pidfd[Symbol.dispose]();
        child.kill("SIGKILL");
      },
      () => undefined,
    );
  }

  async #start(): Promise<{ child: ChildProcess; process: Pidfd }> {
    // A network of its own, too: it could not come back to the host's.
    const words = ["--user", "--map-root-user", "--net", "--", process.execPath, import.meta.dirname + "/bubblewrap-holder.ts"];
    const child = spawn("unshare", words, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "" },
    });
    let said = "";
    child.stderr?.on("data", (bytes: Buffer) => (said = `${said}${bytes.toString()}`.slice(-1000)));
    child.on("message", (message) => this.#heard(message as HolderAnswer));
    const gone = (): void => {
      this.#holder = undefined;
      for (const { resolve } of this.#waiting.values()) resolve({ id: -1, problem: said.trim() || "it ended" });
      this.#waiting.clear();
    };
    child.once("exit", gone);
    child.once("error", (error) => {
      said ||= error.message;
      gone();
    });
    await Promise.race([once(child, "spawn"), once(child, "exit")]);
    const pidfd = child.pid === undefined ? undefined : Pidfd.open(child.pid);
    if (pidfd === undefined) throw refusal(said);
    letGo(child);
    return { child, process: pidfd };
  }

  #ask(child: ChildProcess, request: Extract<HolderRequest, { port: number }>): Promise<HolderAnswer> {
    const waiting = Promise.withResolvers<HolderAnswer>();
    this.#waiting.set(request.id, waiting);
    child.ref();
    child.channel?.ref();
    child.send(request, (error) => error && waiting.resolve({ id: request.id, problem: error.message }));
    return waiting.promise.finally(() => {
      this.#waiting.delete(request.id);
      if (this.#waiting.size === 0) letGo(child);
    });
  }

  #heard(answer: HolderAnswer): void {
    this.#waiting.get(answer.id)?.resolve(answer);
  }
}

/** Nothing waits for it while nobody asks: it must not keep this process. */
function letGo(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  (child.stderr as Socket | null)?.unref();
}

function refusal(problem: string): NexusError {
  return new NexusError("unsupported", `a network for a sandbox cannot be made as this user: ${problem.replaceAll(/\s+/g, " ").trim()}`, {
    hint: "`nexus doctor` tells what keeps ordinary users from making namespaces",
  });
}
