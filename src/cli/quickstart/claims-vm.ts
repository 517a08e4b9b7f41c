import { resolveInNode, runInNode } from "./inside.ts";
import { Disproof, eventually } from "./patience.ts";
import { runProgram } from "./programs.ts";
import { addressOf, type Scene } from "./scene.ts";
import { roundTrip } from "./claims-ways.ts";
import { tools } from "../../mcp/tools.ts";

/** Where there are virtual machines so far. */
export const architecture = "x64";

/** An emulated one takes some seconds to boot; on a busy machine many. */
export const bootDeadlineMs = 60_000;

/** Its agent answers, so all of it runs. */
export async function boots(scene: Scene): Promise<string> {
  const vm = scene.vm();
  const uptime = await eventually(async () => {
    const { code, stdout, stderr } = await runInNode(scene.client, vm.name, ["cat", "/proc/uptime"], 40_000);
    if (code !== 0) throw new Disproof(`${vm.name} does not run commands: ${stderr.trim() || `code ${code}`}`);
    return Number(stdout.split(" ")[0]);
  }, bootDeadlineMs);
  const how = vm.acceleration?.kind === "kvm" ? "by KVM" : "emulated, since KVM does not work here";
  return `${vm.name} has been up for ${uptime.toFixed(1)} s, ${how}`;
}

export async function pingFromHost(scene: Scene): Promise<string> {
  const address = addressOf(scene.vm(), 4);
  // Its agent is up before its network card.
  const ping = await eventually(async () => {
    const ran = await runProgram(["ping", "-n", "-c", "1", "-W", "1", address], { path: scene.path });
    if (ran.code !== 0) throw new Disproof(`no answer from ${address}`);
    return ran;
  }, 20_000);
  return `host -> ${scene.vm().name} ${address}: ${roundTrip(ping)}`;
}

/** A container finds the virtual machine by name, and reaches it by that name. */
export async function byName(scene: Scene): Promise<string> {
  const { name } = scene.vm();
  const address = addressOf(scene.vm(), 4);
  const found = await resolveInNode(scene.client, "web", { name, type: "a" });
  if (!found.includes(address)) throw new Disproof(`web asks for ${name} and gets ${found.join(", ") || "nothing"}, not ${address}`);
  const ping = await runInNode(scene.client, "web", ["ping", "-4", "-c", "1", "-W", "2", name]);
  return `web -> ${name}, a container and a virtual machine on one network: ${roundTrip(ping)}`;
}

/** The tool an assistant would use. Which resolver the machine was told is in that file. */
export async function fileByTool(scene: Scene): Promise<string> {
  const path = "/etc/resolv.conf";
  const fileRead = tools.find((tool) => tool.name === "file_read");
  const answer = await fileRead?.call(scene.client, { guest: scene.vm().name, path }, AbortSignal.timeout(bootDeadlineMs));
  const text = answer?.kind === "bytes" ? answer.bytes.toString("utf8") : "";
  const resolver = scene.network("front").subnets[0]?.gateway ?? "";
  if (!text.includes(`nameserver ${resolver}\n`))
    throw new Disproof(`${path} in ${scene.vm().name} does not name ${resolver}:\n${text.trim()}`);
  return `file_read gives ${path} of ${scene.vm().name}, ${Buffer.byteLength(text)} bytes: nameserver ${resolver}`;
}
