import { resolveInNode } from "./inside.ts";
import { Disproof, eventually } from "./patience.ts";
import { addressOf, type Scene } from "./scene.ts";

export async function shortName(scene: Scene): Promise<string> {
  return expectAddress(scene, { name: "web", type: "a", address: addressOf(scene.node("web"), 4) });
}

/** Of a node on another network, which only a peer may learn. */
export async function fullName(scene: Scene): Promise<string> {
  const { value: domain } = await scene.client.call("config.get", { params: { key: "dns.domain" } });
  return expectAddress(scene, { name: `db.back.${String(domain)}`, type: "a", address: addressOf(scene.node("db"), 4) });
}

export async function ipv6Name(scene: Scene): Promise<string> {
  return expectAddress(scene, { name: "web", type: "aaaa", address: addressOf(scene.node("web"), 6) });
}

async function expectAddress(scene: Scene, wanted: { name: string; type: "a" | "aaaa"; address: string }): Promise<string> {
  await eventually(async () => {
    const found = await resolveInNode(scene.client, "web", wanted);
    if (!found.includes(wanted.address))
      throw new Disproof(
        `web asks for ${wanted.name} (${wanted.type.toUpperCase()}) and gets ${found.join(", ") || "nothing"}, not ${wanted.address}`,
      );
  });
  return `web asks for ${wanted.name}: ${wanted.address}`;
}
