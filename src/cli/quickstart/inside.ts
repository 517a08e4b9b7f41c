import type { Ran } from "./programs.ts";
import type { Client } from "../../api/client.ts";

/** Runs a command in a guest through the daemon. It is cut off at its deadline, with code 124 as timeout(1) gives. */
export async function runInNode(client: Client, node: string, command: readonly string[], timeoutMs = 3000): Promise<Ran> {
  const call = await client.exec("guest.exec", node, { command: [...command] });
  const chunks: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
  const text = (stream: "stdout" | "stderr") => Buffer.concat(chunks[stream]).toString("utf8");
  void call.send({ kind: "stdin-end" });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    call.close();
  }, timeoutMs);
  try {
    const code = await call.finish((stream, bytes) => void chunks[stream].push(bytes));
    return { code, stdout: text("stdout"), stderr: text("stderr") };
  } catch (error) {
    if (!late) throw error;
    return { code: 124, stdout: text("stdout"), stderr: text("stderr") };
  } finally {
    clearTimeout(timer);
  }
}

/** What a node gets from a URL, or undefined with nothing within `timeoutSeconds`. */
export async function fetchInNode(client: Client, node: string, url: string, timeoutSeconds = 2): Promise<string | undefined> {
  const { code, stdout } = await runInNode(
    client,
    node,
    ["timeout", String(timeoutSeconds), "wget", "-q", "-O", "-", url],
    (timeoutSeconds + 1) * 1000,
  );
  return code === 0 ? stdout.trim() : undefined;
}

/** The addresses a node gets for a name from its own resolver. */
export async function resolveInNode(client: Client, node: string, question: { name: string; type: "a" | "aaaa" }): Promise<string[]> {
  const { stdout } = await runInNode(client, node, ["timeout", "2", "nslookup", `-type=${question.type}`, question.name]);
  // The first paragraph is about the server that answered.
  const answer = stdout
    .split(/\n\s*\n/)
    .slice(1)
    .join("\n");
  return [...answer.matchAll(/^Address(?: \d+)?:\s+(\S+)/gm)].map((match) => match[1] ?? "");
}
