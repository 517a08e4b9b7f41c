import { Disproof } from "./patience.ts";
import type { Scene } from "./scene.ts";
import type { RunView } from "../../spec/run-view.ts";

/** Booting nothing, but perhaps asking resolvers that do not answer. */
export const deadlineMs = 30_000;

const allowed = "www.debian.org:80";
const other = "www.example.org:80";
/** Nobody's address (TEST-NET-1, RFC 5737). */
const address = "192.0.2.1:80";

/** Asks the proxy for each, and says the first line of its answer; then tries to go past it. */
const script = `
proxy=\${HTTP_PROXY#http://}; proxy=\${proxy%/}
for target; do
  exec 3<>"/dev/tcp/\${proxy%:*}/\${proxy##*:}" || exit 1
  printf 'GET http://%s/ HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' "$target" "$target" >&3
  read -r line <&3
  echo "$target \${line%$'\\r'}"
  exec 3>&-
done
(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && echo "past the proxy" || echo "nothing past the proxy"
`;

/** One untrusted command may reach one name, and nothing else, whether or not this host reaches the world. */
export async function oneName({ client }: Scene): Promise<string> {
  const targets = [allowed, other, address];
  const call = await client.run({
    command: ["bash", "-c", script, "sh", ...targets],
    net: { allow: [allowed] },
    timeoutMs: deadlineMs - 5000,
  });
  void call.send({ kind: "stdin-end" });
  let view: RunView | undefined;
  let said = "";
  await call.finish(
    (_, bytes) => void (said += Buffer.from(bytes).toString()),
    (status) => (view = status as RunView),
  );
  if (view === undefined) throw new Disproof("the run has no end");
  if (!said.endsWith("nothing past the proxy\n")) throw new Disproof(`the command says: ${said.trim() || view.reason}`);
  const audit = await auditOf(client, view.id);
  await client.call("run.remove", { params: { id: view.id } });
  const verdicts = audit.map(({ name, port, decision, reason }) => `${decision} ${name}:${port} ${reason}`);
  const wanted = [`allow ${allowed} OK`, `deny ${other} NOT_IN_ALLOWLIST`, `deny ${address} INVALID_DESTINATION`];
  const missing = wanted.filter((line) => !verdicts.includes(line));
  if (missing.length > 0) throw new Disproof(`the audit lacks "${missing[0]}": ${verdicts.join("; ") || "it is empty"}`);
  const lines = audit.map((line) => JSON.stringify(line));
  return [`an untrusted command may reach ${allowed} and nothing else; the audit:`, ...lines].join("\n");
}

type AuditLine = { name: string; port: number; decision: string; reason: string };

async function auditOf(client: Scene["client"], id: string): Promise<AuditLine[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await client.bytes("run.logs", { params: { id }, query: { stream: "audit" } })) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as AuditLine);
}
