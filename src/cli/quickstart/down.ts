import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { daemonPlaces, removeTraces } from "./host-traces.ts";
import { invocation } from "./invocation.ts";
import { waitUntilGone } from "./links.ts";
import { removeOutside } from "./outside.ts";
import { searchPath } from "./programs.ts";
import { type QuickstartRecord, readRecord, removeRecord, writeRecord } from "./record.ts";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";

/** Removes what quickstart made, and nothing else. @throws NexusError */
export async function takeDown(c: VerbContext): Promise<void> {
  const path = searchPath(c.io.env);
  const places = daemonPlaces(c.io);
  const lines: string[] = [];
  if (await removeOutside(path)) lines.push("removed the throw-away machine outside");
  const client = await clientFor(c, places.stateDir);
  const stateDir = client === undefined ? places.stateDir : (await client.call("info", {}, { timeoutMs: 5000 })).stateDir;
  const record = readRecord(stateDir);
  if (client === undefined || record === undefined) {
    report(c, lines);
    return;
  }
  const progress = c.progress();
  progress.show("removing guests and networks of the example");
  const objects = await removeObjects(client, record);
  lines.push(...objects.lines);
  for (const link of objects.links) await waitUntilGone(link, path);
  const info = await client.call("info");
  const others = await othersOf(client);
  const isOurs = record.daemon?.pid === info.pid && record.daemon.bootId === readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  // What is still ours can be taken down later.
  if (objects.kept.length > 0 || (isOurs && others.length > 0))
    writeRecord(stateDir, { ...record, nodes: [], vms: [], networks: objects.kept });
  else removeRecord(stateDir);
  if (!isOurs) lines.push("nexusd stays: quickstart did not start it");
  else if (others.length > 0) lines.push(`nexusd stays, with its state in ${stateDir}: it also keeps ${others.join(", ")}`);
  else {
    progress.show("ending nexusd");
    await endDaemon(client, info.pid);
    lines.push(`ended nexusd (pid ${info.pid})`, ...(await removeTraces(record.made, { ...places, stateDir }, path)));
  }
  if (record.packages.length > 0)
    lines.push(`Debian packages stay: ${record.packages.join(", ")} (apt-get remove ${record.packages.join(" ")})`);
  const cache = "/var/cache/nexus";
  if (existsSync(cache)) lines.push(`${cache} stays: compiled code and what virtual machines boot, made again when it is gone`);
  progress[Symbol.dispose]();
  report(c, lines);
}

/** The running daemon; one that was ended after quickstart is started again, since only it can take its networks down. */
async function clientFor(c: VerbContext, stateDir: string): Promise<Client | undefined> {
  const { listensOn } = await import("../start-daemon.ts");
  if (await listensOn(c.socketPath)) return c.runningClient();
  const record = readRecord(stateDir);
  if (record === undefined) return undefined;
  const client = await c.client();
  const { pid } = await client.call("info", {}, { timeoutMs: 5000 });
  writeRecord(stateDir, { ...record, daemon: { pid, bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() } });
  return client;
}

/** In the order they depend on each other; what is gone already is fine. `links` are those of the guests, which the kernel takes away. */
async function removeObjects(client: Client, record: QuickstartRecord): Promise<{ lines: string[]; kept: string[]; links: string[] }> {
  const nodes = (await client.call("node.list")).filter((node) => record.nodes.includes(node.name));
  const vms = (await client.call("vm.list")).filter((vm) => record.vms.includes(vm.name));
  for (const { name } of [...nodes, ...vms]) await client.call("guest.remove", { params: { name } });
  const links = [...nodes, ...vms].flatMap((node) => node.attachments.map((attachment) => attachment.hostInterface));
  const lines = nodes.length === 0 ? [] : [`removed nodes ${nodes.map((node) => node.name).join(", ")}`];
  if (vms.length > 0) lines.push(`removed virtual machines ${vms.map((vm) => vm.name).join(", ")}`);
  const guests = await client.call("guest.list");
  const gone: string[] = [];
  const kept: string[] = [];
  for (const { name } of await client.call("network.list")) {
    if (!record.networks.includes(name)) continue;
    const users = guests.filter((guest) => guest.attachments.some((a) => a.network === name));
    if (users.length > 0) {
      kept.push(name);
      lines.push(`kept network ${name}, which others use: ${users.map((guest) => guest.name).join(", ")}`);
    } else {
      await client.call("network.remove", { params: { name }, query: { force: false } });
      gone.push(name);
    }
  }
  return { lines: gone.length === 0 ? lines : [...lines, `removed networks ${gone.join(", ")}`], kept, links };
}

/** What others keep in this daemon. */
async function othersOf(client: Client): Promise<string[]> {
  const [networks, guests, images, { settings }] = [
    await client.call("network.list"),
    await client.call("guest.list"),
    await client.call("image.list"),
    await client.call("config.show"),
  ];
  return [
    ...guests.map((guest) => `guest ${guest.name}`),
    ...networks.map((network) => `network ${network.name}`),
    // What is built here is no one's: it lies in the cache, which stays.
    ...images.filter((image) => image.reference !== "mini").map((image) => `image ${image.reference}`),
    ...settings.filter((setting) => setting.source === "stored").map((setting) => `setting ${setting.key}`),
  ];
}

/** Until the process is gone, since it holds files and locks until then. */
async function endDaemon(client: Client, pid: number): Promise<void> {
  await client.call("shutdown");
  const deadline = performance.now() + 20_000;
  while (existsSync(`/proc/${pid}`) && !isZombie(pid)) {
    if (performance.now() > deadline) throw new NexusError("timeout", `nexusd (pid ${pid}) agreed to end and still runs after 20 s`);
    await delay(20);
  }
}

/** One whose parent has not asked after it yet, as in a container without an init. */
function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

function report(c: VerbContext, lines: readonly string[]): void {
  const nothing = `nothing to remove: quickstart made nothing here (${invocation(["quickstart", "--yes"])} does)\n`;
  c.out.result({ ok: true, removed: lines }, () => (lines.length === 0 ? nothing : `${lines.join("\n")}\n`));
}
