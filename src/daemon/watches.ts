import type { Host } from "../apply/host.ts";
import { listLinks } from "../kernel/links.ts";
import type { LinkGlance } from "../wire/rtnetlink/glance.ts";
import { watchChanges } from "../kernel/change-watch.ts";
import { tableNames } from "../plan/firewall/ruleset.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Wiring } from "./wiring.ts";
import type { World } from "./world.ts";

export type Watched = {
  host: Host;
  world: World;
  wiring: Wiring;
  chronicle: Chronicle;
  ask: (reason: string) => void;
};

/** Changes of one link arrive as several messages, our own among them: what it is then counts, not what they say. */
const settleMs = 20;

/** Listens to the kernel: whatever is not as it should be with something of ours asks for a reconcile. */
export function watchKernel(o: Watched): Disposable {
  using stack = new DisposableStack();
  const suspects = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const verify = () => {
    timer = undefined;
    const wrong = [...suspects].filter((name) => !o.wiring.facts.isLinkRight(name));
    suspects.clear();
    if (wrong.length > 0) o.ask(`a change of ${wrong.slice(0, 3).join(", ")}`);
  };
  const suspect = (name: string) => {
    suspects.add(name);
    timer ??= setTimeout(verify, settleMs);
  };
  stack.defer(() => clearTimeout(timer));
  // Networks may follow the uplink's MTU; which link that is the reconcile finds out.
  const mtus = new Map<number, number>();
  const othersMtu = (link: LinkGlance) => {
    const before = mtus.get(link.index);
    mtus.set(link.index, link.mtuBytes);
    if (before !== undefined && before !== link.mtuBytes) o.ask(`the MTU of ${link.name}`);
  };
  // A link that was given another name is, by its name, nobody's: what it was called before tells.
  const ours = new Map<number, string>();
  const named = ({ index, name }: { index: number; name: string }) => {
    const before = ours.get(index);
    if (before !== undefined && before !== name) suspect(before);
    if (o.wiring.facts.expected(name) === undefined) ours.delete(index);
    else ours.set(index, name);
  };
  for (const link of listLinks(o.host.route)) {
    mtus.set(link.index, link.mtuBytes);
    named(link);
  }
  const changed = ({ link }: { link: number }) => {
    const bridge = o.wiring.facts.bridgeOf(link);
    if (bridge !== undefined) suspect(bridge);
  };
  stack.use(
    watchChanges({
      link: (link) => {
        named(link);
        const wanted = o.wiring.facts.expected(link.name);
        if (wanted === undefined) return othersMtu(link);
        if (!link.up || link.mtuBytes !== wanted.mtuBytes || link.group !== wanted.group) suspect(link.name);
      },
      linkGone: (link) => {
        mtus.delete(link.index);
        ours.delete(link.index);
        if (o.wiring.facts.expected(link.name) !== undefined) suspect(link.name);
      },
      portGone: (link) => {
        if (o.wiring.facts.expected(link.name) !== undefined) suspect(link.name);
      },
      addressGone: changed,
      routeGone: changed,
      defaultRoute: () => o.ask("a change of the default route"),
      lost: () => o.ask("a flood of kernel events"),
    }),
  );
  stack.use(
    o.host.firewall.watch({
      changed: (event) => {
        const touched = event.tables.some((t) => tableNames.some((ours) => ours.family === t.family && ours.name === t.name));
        if (event.ours || !touched) return;
        o.wiring.distrustFirewall();
        o.chronicle.tell({
          kind: "foreign-change",
          subject: "firewall",
          message: `our ruleset was changed by ${event.comm} (pid ${event.pid})`,
          details: { pid: event.pid, comm: event.comm },
        });
        o.ask(`a change of our ruleset by ${event.comm}`);
      },
      lost: () => {
        o.wiring.distrustFirewall();
        o.ask("a flood of firewall events");
      },
    }),
  );
  const kept = stack.move();
  return { [Symbol.dispose]: () => kept.dispose() };
}
