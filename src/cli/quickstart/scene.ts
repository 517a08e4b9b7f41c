import type { Example } from "./example.ts";
import { openOutside, type Outside } from "./outside.ts";
import { Disproof } from "./patience.ts";
import type { Client } from "../../api/client.ts";
import type { PublishSpec } from "../../spec/node.ts";
import type { GuestView, NetworkView } from "../../spec/views.ts";

/** The running example, as the proofs see it. */
export type Scene = {
  client: Client;
  /** PATH for the programs that look from outside. */
  path: string;
  example: Example;
  network(name: "front" | "back"): NetworkView;
  node(name: "web" | "db" | "cache"): GuestView;
  vm(): GuestView;
  /** The throw-away machine; every call gives the same one. */
  outside(): Promise<Outside>;
};

export type SceneParts = Pick<Scene, "client" | "path" | "example"> & {
  networks: ReadonlyMap<string, NetworkView>;
  nodes: ReadonlyMap<string, GuestView>;
  vms: ReadonlyMap<string, GuestView>;
  cleanup: AsyncDisposableStack;
};

export function makeScene({ client, path, example, networks, nodes, vms, cleanup }: SceneParts): Scene {
  let opening: Promise<Outside> | undefined;
  return {
    client,
    path,
    example,
    network: (name) => present(networks.get(name), `network ${name}`),
    node: (name) => present(nodes.get(name), `node ${name}`),
    vm: () => present(vms.get("box"), "virtual machine box"),
    outside() {
      if (opening === undefined) {
        opening = openOutside(path);
        const opened = opening;
        // Also when the proof that asked for it was given up meanwhile.
        cleanup.defer(async () => {
          const machine = await opened.catch(() => undefined);
          await machine?.[Symbol.asyncDispose]();
        });
      }
      return opening;
    },
  };
}

/** The address of a node's first interface, without its prefix length. */
export function addressOf(node: GuestView, family: 4 | 6): string {
  const cidrs = node.attachments[0]?.addresses ?? [];
  const cidr = cidrs.find((candidate) => candidate.includes(":") === (family === 6));
  return present(cidr?.split("/")[0], `an IPv${family} address of ${node.name}`);
}

/** The page of a node, at its own address. */
export function urlOf(node: GuestView): string {
  const port = { web: 80, db: 5432, cache: 6379 }[node.name as string] ?? 80;
  return `http://${addressOf(node, 4)}:${port}/`;
}

/** What that page says. */
export function pageOf(node: GuestView): string {
  return `I am ${node.name}`;
}

export function publishOf(node: GuestView): PublishSpec {
  return present(node.publish[0], `a published port of ${node.name}`);
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Disproof(`${what} is not there`);
  return value;
}
