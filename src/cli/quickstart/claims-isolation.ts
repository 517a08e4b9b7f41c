import { expectPage } from "./claims-ways.ts";
import { fetchInNode } from "./inside.ts";
import { outside } from "./outside.ts";
import { Disproof, eventually } from "./patience.ts";
import { pageOf, publishOf, type Scene, urlOf } from "./scene.ts";

/** What is refused stays unanswered; a second is long on one host. */
const refusedSeconds = 1;

/** cache is asked through the peer as well, so that silence towards db means a refusal and no broken cache. */
export async function betweenGuests(scene: Scene): Promise<string> {
  const cache = scene.node("cache");
  await eventually(async () =>
    expectPage(await fetchInNode(scene.client, "web", urlOf(cache)), { who: "web", url: urlOf(cache), page: pageOf(cache) }),
  );
  const leaked = await fetchInNode(scene.client, "db", urlOf(cache), refusedSeconds);
  if (leaked !== undefined) throw new Disproof(`db reaches ${urlOf(cache)}, though back isolates its guests`);
  return `on back, db cannot reach cache, while web can`;
}

/** Ends the peering and makes it again while everything runs. */
export async function betweenNetworks(scene: Scene): Promise<string> {
  const db = scene.node("db");
  const wanted = { who: "web", url: urlOf(db), page: pageOf(db) };
  const { peers } = scene.example.networks.find((network) => network.name === scene.network("back").name) ?? { peers: [] };
  const setPeers = (names: typeof peers) => scene.client.call("network.change", { params: { name: "back" }, body: { peers: names } });
  await setPeers([]);
  try {
    const leaked = await fetchInNode(scene.client, "web", urlOf(db), refusedSeconds);
    if (leaked !== undefined) throw new Disproof(`web reaches ${urlOf(db)} after the peering of front and back ended`);
  } finally {
    await setPeers(peers);
  }
  expectPage(await fetchInNode(scene.client, "web", urlOf(db)), wanted);
  const { pid } = await scene.client.call("node.get", { params: { name: "db" } });
  if (pid !== db.pid) throw new Disproof("db was restarted meanwhile");
  return "without the peering web cannot reach db, with it again it can; nothing restarted";
}

/** The published port is asked as well, so that silence means a refusal and no missing way. */
export async function fromOutside(scene: Scene): Promise<string> {
  const machine = await scene.outside();
  const web = scene.node("web");
  const published = `http://${outside.host}:${publishOf(web).hostPort}/`;
  expectPage(await machine.fetch(published), { who: outside.address, url: published, page: pageOf(web) });
  const leaked = await machine.fetch(urlOf(web), refusedSeconds * 1000);
  if (leaked !== undefined) throw new Disproof(`${outside.address} reaches web at ${urlOf(web)}, past its published port`);
  return `${outside.address} has a route to ${urlOf(web)} and gets nothing`;
}
