import { SpecError, type SpecProblem } from "../../base/errors.ts";
import { check, type FoundProblem, pathText } from "../problems.ts";
import { type Mapping, type Place, placeOf, placeText, plain, without } from "./tree.ts";
import type { z } from "zod";

/** More than anybody reads; the rest comes after these are mended. */
const maxTold = 200;

type Found = { at: Place; problem: SpecProblem };

/** All faults of a project, gathered while it is read and told together. */
export class Faults {
  readonly #faults: Found[] = [];
  readonly #warnings: Found[] = [];
  readonly #unread = new Set<string>();

  add(at: Place, problem: { path?: readonly PropertyKey[] | string; problem: string; hint?: string | undefined }): void {
    this.#faults.push(found(at, problem));
  }

  /** Something that is carried out, though not as somebody might expect. */
  warn(at: Place, problem: { path?: readonly PropertyKey[] | string; problem: string; hint?: string | undefined }): void {
    this.#warnings.push(found(at, problem));
  }

  /** A value of which nothing is known: its variables are wrong, which is told. What is wrong with it beyond that is not. */
  unread(at: Place): void {
    this.#unread.add(placeText(at));
  }

  /**
   * The value of a mapping as its schema gives it, and the mapping it is of: without what has faults, once they are kept, so that the rest
   * can be looked into further. `path` is where the mapping stands.
   */
  check<T extends z.ZodType>(
    schema: T,
    tree: Mapping,
    path: readonly PropertyKey[],
  ): { value: z.output<T>; tree: Mapping; whole: boolean } | undefined {
    const result = check(schema, plain(tree));
    if ("value" in result) return { value: result.value, tree, whole: true };
    for (const { at, onKey, problem, hint } of withoutEchoes(result.problems)) {
      const place = placeOf(tree, at, onKey);
      if (!this.#unread.has(placeText(place)))
        this.add(place, { path: [...path, ...at], problem, hint: foreignHint([...path, ...at], problem) ?? hint });
    }
    const paths = result.problems.map(({ at }) => at);
    for (const depth of [2, 1] as const) {
      const left = without(tree, paths, depth);
      const again = check(schema, plain(left));
      if ("value" in again) return { value: again.value, tree: left, whole: false };
    }
    return undefined;
  }

  get any(): boolean {
    return this.#faults.length > 0;
  }

  warnings(): SpecProblem[] {
    return told(this.#warnings);
  }

  /** @throws SpecError with every fault in the order of the files, each with `file:line:col` */
  throwIfAny(): void {
    if (this.any) throw new SpecError(told(this.#faults));
  }
}

/** What is missing because of a misspelt key is told once, at the key. */
function withoutEchoes(problems: readonly FoundProblem[]): FoundProblem[] {
  const misspelt = new Set(problems.filter((one) => one.problem === "unknown key").map(({ at }) => pathText(at.slice(0, -1))));
  return problems.filter((one) => one.problem === "unknown key" || !misspelt.has(pathText(one.at)) || one.at.length === 0);
}

function found(
  at: Place,
  { path = "", problem, hint }: { path?: readonly PropertyKey[] | string; problem: string; hint?: string | undefined },
): Found {
  return { at, problem: { path: typeof path === "string" ? path : pathText(path), problem, ...(hint === undefined ? {} : { hint }) } };
}

/** In the order of the files, none twice: what two guests extend is read twice. */
function told(all: readonly Found[]): SpecProblem[] {
  const seen = new Set<string>();
  return all
    .toSorted((a, b) => a.at.source.order - b.at.source.order || a.at.line - b.at.line || a.at.col - b.at.col)
    .map(({ at, problem }) => ({ ...problem, place: placeText(at) }))
    .filter((problem) => {
      const text = JSON.stringify(problem);
      return !seen.has(text) && seen.add(text);
    })
    .slice(0, maxTold);
}

/** Keys other compose tools have, and what says the same here. */
const foreignKeys: Readonly<Record<string, string>> = {
  services: "containers stand under nodes, virtual machines under vms",
  containers: "containers stand under nodes",
  machines: "virtual machines stand under vms",
  version: "a file has no version; leave it out",
  secrets: "give a file of the host by volumes",
  configs: "give a file of the host by volumes",
  include: "name further files with -f, or use extends",
  container_name: "a guest is called PROJECT-NAME",
  build: "build the image beforehand and name it by image",
  entrypoint: "write the whole command line as command",
  deploy: "use cpus and memory",
  mem_limit: "write memory",
  cpu_shares: "write cpu",
  pids_limit: "write pids",
  links: "guests of one network reach each other by name",
  expose: "guests of one network reach all ports of each other; ports publishes on the host",
  network_mode: "name networks; a guest without any is on the project's default network",
  extra_hosts: "give the other guest an alias",
  domainname: "guests are named GUEST.NETWORK.nexus",
  ipam: "write subnet and gateway",
  enable_ipv6: "write ipv6: true",
  driver_opts: "write mtu, nat or bridge",
  attachable: "leave it out: any guest can be attached",
  tmpfs: "only nodes have it; a virtual machine mounts it by itself",
};

/** What a guest has and a sandbox does not. */
const guestKeys: Readonly<Record<string, string>> = {
  image: "a sandbox sees the host's programs, read-only; with an image it is a node",
  networks: "a sandbox is on no network: allow has the names it may connect to",
  ports: "a sandbox is on no network; what others connect to is a node",
  volumes: "what a sandbox works on is its facility",
  restart: "a sandbox is run once; what is to run always is a node",
  healthcheck: "a sandbox is run once: others may wait for it to be completed",
};

function foreignHint(at: readonly PropertyKey[], problem: string): string | undefined {
  const key = String(at.at(-1));
  if (problem === "unknown key" && at[0] === "sandboxes" && at.length === 3 && Object.hasOwn(guestKeys, key)) return guestKeys[key];
  return problem === "unknown key" && Object.hasOwn(foreignKeys, key) ? foreignKeys[key] : undefined;
}
