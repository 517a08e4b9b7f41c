import type { Example } from "./example.ts";
import type { QuickstartRecord } from "./record.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { GuestView, NetworkView } from "../../spec/views.ts";

export type BringUp = {
  client: Client;
  example: Example;
  record: QuickstartRecord;
  /** Writes the record down; called before anything new is made. */
  save: () => void;
  progress: (line: string) => void;
  signal: AbortSignal;
};

export type Brought<View> = { views: Map<string, View>; made: number };

/** Ports after the first that are tried when others hold it. */
const morePorts = 19;

/** Refuses names that belong to someone else, before anything is made. @throws NexusError name-taken */
export async function refuseForeignNames({ client, example, record }: BringUp): Promise<void> {
  const [networks, guests] = [await client.call("network.list"), await client.call("guest.list")];
  const isTheirs = (kind: "networks" | "nodes" | "vms", there: readonly { name: string }[]) =>
    example[kind]
      .map((wanted) => wanted.name as string)
      .filter((name) => !record[kind].includes(name) && there.some((object) => object.name === name));
  const theirs = [
    ...isTheirs("networks", networks).map((name) => `network ${name}`),
    ...isTheirs("nodes", guests).map((name) => `node ${name}`),
    ...isTheirs("vms", guests).map((name) => `virtual machine ${name}`),
  ];
  if (theirs.length === 0) return;
  throw new NexusError("name-taken", `the example needs these names, and quickstart did not make what has them: ${theirs.join(", ")}`, {
    hint: "remove or rename them first; quickstart touches nothing it did not make",
  });
}

/** Makes the networks that are missing and puts the policy of the others right. */
export async function bringUpNetworks(b: BringUp): Promise<Brought<NetworkView>> {
  const views = new Map<string, NetworkView>();
  const there = new Map((await b.client.call("network.list")).map((network) => [network.name as string, network]));
  let made = 0;
  for (const spec of b.example.networks) {
    b.signal.throwIfAborted();
    const known = there.get(spec.name);
    const { isolation, internal, nat, peers } = spec;
    if (known === undefined) {
      b.progress(`making network ${spec.name}`);
      remember(b, "networks", spec.name);
      views.set(spec.name, await b.client.call("network.create", { body: spec }));
      made++;
    } else if (
      known.isolation !== isolation ||
      known.internal !== internal ||
      known.nat !== nat ||
      peers.some((peer) => !known.peers.includes(peer))
    ) {
      views.set(
        spec.name,
        await b.client.call("network.change", { params: { name: spec.name }, body: { isolation, internal, nat, peers } }),
      );
    } else views.set(spec.name, known);
  }
  return { views, made };
}

/** Makes the nodes that are missing, starts those that do not run, makes those anew that are not as in the example. */
export async function bringUpNodes(b: BringUp): Promise<Brought<GuestView>> {
  const views = new Map<string, GuestView>();
  const there = new Map((await b.client.call("node.list")).map((node) => [node.name as string, node]));
  let made = 0;
  for (const spec of b.example.nodes) {
    b.signal.throwIfAborted();
    const params = { name: spec.name };
    let known = there.get(spec.name);
    if (known !== undefined && !isAsWanted(known, spec)) {
      await b.client.call("node.remove", { params, query: { force: true } });
      known = undefined;
    }
    if (known === undefined) {
      b.progress(`making node ${spec.name}`);
      remember(b, "nodes", spec.name);
      await createNode(b, spec);
      made++;
    } else if (known.state !== "running") {
      b.progress(`starting node ${spec.name}`);
      await b.client.call("node.start", { params });
    }
    views.set(spec.name, await b.client.call("node.get", { params }));
  }
  return { views, made };
}

/** Makes the virtual machines that are missing, and starts those that do not run. */
export async function bringUpVms(b: BringUp): Promise<Brought<GuestView>> {
  const views = new Map<string, GuestView>();
  const there = new Map((await b.client.call("vm.list")).map((vm) => [vm.name as string, vm]));
  let made = 0;
  for (const spec of b.example.vms) {
    b.signal.throwIfAborted();
    const params = { name: spec.name };
    const known = there.get(spec.name);
    if (known === undefined) {
      b.progress(`making virtual machine ${spec.name}`);
      remember(b, "vms", spec.name);
      await b.client.follow("vm.create", { body: spec }, b.progress);
      made++;
    } else if (known.state !== "running") {
      b.progress(`starting virtual machine ${spec.name}`);
      await b.client.follow("vm.start", { params }, b.progress);
    }
    views.set(spec.name, await b.client.call("vm.get", { params }));
  }
  return { views, made };
}

/** On the first host port from the wanted one on that nobody holds. */
async function createNode(b: BringUp, spec: Example["nodes"][number]): Promise<void> {
  for (let offset = 0; ; offset++) {
    const publish = spec.publish.map((p) => ({ ...p, hostPort: p.hostPort + offset }));
    try {
      await b.client.follow("node.create", { body: { ...spec, publish } }, b.progress);
      return;
    } catch (error) {
      if (!(error instanceof NexusError) || error.code !== "port-taken" || offset === morePorts) throw error;
      b.progress(error.message);
    }
  }
}

function remember(b: BringUp, kind: "networks" | "nodes" | "vms", name: string): void {
  if (b.record[kind].includes(name)) return;
  b.record[kind].push(name);
  b.save();
}

function isAsWanted(known: GuestView, spec: Example["nodes"][number]): boolean {
  const facts = (node: Partial<typeof spec> | undefined) =>
    JSON.stringify([node?.command, node?.mem, node?.cpu, node?.pids, node?.networks?.map((ref) => ref.network)]);
  return facts(known.spec) === facts(spec);
}
