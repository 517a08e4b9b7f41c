import { fetchText } from "./fetch.ts";
import { fetchInNode, runInNode } from "./inside.ts";
import { outside } from "./outside.ts";
import { Disproof, eventually } from "./patience.ts";
import { type Ran, runProgram } from "./programs.ts";
import { addressOf, pageOf, publishOf, type Scene, urlOf } from "./scene.ts";

export async function pingFromHost(scene: Scene): Promise<string> {
  const address = addressOf(scene.node("web"), 4);
  return `host -> web ${address}: ${roundTrip(await runProgram(["ping", "-n", "-c", "1", "-W", "2", address], { path: scene.path }))}`;
}

export async function pingGateway(scene: Scene): Promise<string> {
  const gateway = scene.node("web").attachments[0]?.gateways[0];
  if (gateway === undefined) throw new Disproof("web has no gateway");
  return `web -> its gateway ${gateway}: ${roundTrip(await runInNode(scene.client, "web", ["ping", "-c", "1", "-W", "2", gateway]))}`;
}

export async function peer(scene: Scene): Promise<string> {
  const db = scene.node("db");
  await eventually(async () =>
    expectPage(await fetchInNode(scene.client, "web", urlOf(db)), { who: "web", url: urlOf(db), page: pageOf(db) }),
  );
  return `web on front reaches ${urlOf(db)} on back`;
}

export async function nat(scene: Scene): Promise<string> {
  await scene.outside();
  const url = `http://${outside.address}/`;
  const seen = await fetchInNode(scene.client, "web", url);
  if (seen === undefined)
    throw new Disproof(`web does not reach ${url}\nnexus doctor says whether another program's firewall is in the way`);
  if (seen !== outside.host) throw new Disproof(`${outside.address} saw ${seen} instead of the host's ${outside.host}`);
  return `web reached ${outside.address}, which saw ${seen}`;
}

export async function publishedOutside(scene: Scene): Promise<string> {
  const machine = await scene.outside();
  const web = scene.node("web");
  const url = `http://${outside.host}:${publishOf(web).hostPort}/`;
  expectPage(await machine.fetch(url), { who: outside.address, url, page: pageOf(web) });
  return `${outside.address} -> ${url}: "${pageOf(web)}"`;
}

export async function publishedHost(scene: Scene): Promise<string> {
  const web = scene.node("web");
  const url = `http://127.0.0.1:${publishOf(web).hostPort}/`;
  expectPage(await fetchText(url), { who: "this host", url, page: pageOf(web) });
  return `${url}: "${pageOf(web)}"`;
}

export function expectPage(got: string | undefined, wanted: { who: string; url: string; page: string }): void {
  if (got === undefined) throw new Disproof(`${wanted.who} gets nothing from ${wanted.url}`);
  if (got !== wanted.page) throw new Disproof(`${wanted.who} gets another page from ${wanted.url}: "${got.slice(0, 60)}"`);
}

export function roundTrip({ code, stdout, stderr }: Ran): string {
  const time = /time=([\d.]+) ms/.exec(stdout)?.[1];
  if (code === 0 && time !== undefined) return `${time} ms`;
  throw new Disproof(`no answer (code ${code}) ${stderr.trim()}`.trim());
}
