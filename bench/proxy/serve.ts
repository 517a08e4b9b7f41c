import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import type { Ip } from "../../src/base/ip.ts";
import { parseIp } from "../../src/base/ip.ts";
import { auditLine } from "../../src/services/egress/audit.ts";
import { createEgressProxy } from "../../src/services/egress/proxy.ts";
import { egressPolicy } from "../../src/spec/egress.ts";
import { originAddress, originName, ports } from "./place.ts";

/**
 * Two runs of the egress proxy in one process, as in the daemon, each with its audit log. With `lifted` the rate limit of the
 * first is out of the way, so that its speed can be measured; its other limits stay.
 */
const [auditFile = "/dev/null", lifted] = process.argv.slice(2);
const address = parseIp(originAddress) as Ip;
const audit = createWriteStream(auditFile, { flags: "a", mode: 0o600 });
const limits = lifted === "lifted" ? { connections: 1200, requestsPerSecond: 1e9 } : {};
for (const [run, port] of [
  ["flooding", ports.nexus],
  ["calm", ports.calm],
] as const) {
  const proxy = createEgressProxy({
    run,
    policy: egressPolicy.parse({
      mode: "allowlist",
      allow: [`${originName}:${ports.http}`, port === ports.nexus ? `${originName}:${ports.echo}/tcp` : `${originName}:${ports.echo}`],
    }),
    resolver: () => Promise.resolve([address]),
    audit: (record) => audit.write(auditLine(record)),
    // The origin is on this host, which no origin is otherwise.
    ownAddresses: { has: () => false },
    ...(run === "calm" && lifted !== "lifted" ? {} : { limits }),
  });
  createServer({ allowHalfOpen: true, noDelay: true }, (socket) => proxy.serve(socket)).listen({ port, host: "127.0.0.1", backlog: 4096 });
}
