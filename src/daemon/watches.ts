import type { Host } from "../apply/host.ts";
import { watchRoutes } from "../kernel/route-events.ts";
import { isOurGroup } from "../plan/group.ts";
import { tableNames } from "../plan/firewall/ruleset.ts";
import { prefixLength } from "../base/prefix.ts";
import type { Chronicle } from "./chronicle.ts";

export type Watched = {
  host: Host;
  chronicle: Chronicle;
  /** Indexes of the interfaces that should be there now. */
  isOurs: (link: { index: number; name: string; group: number; altNames: readonly string[] }) => boolean;
  ask: (reason: string) => void;
  distrustFirewall: () => void;
};

/** Listens to the kernel: whatever touches something of ours asks for a reconcile. What we do ourselves is heard as well, and costs one comparison. */
export function watchKernel(o: Watched): Disposable {
  using stack = new DisposableStack();
  const known = new Set<number>();
  stack.use(
    watchRoutes((event) => {
      switch (event.kind) {
        case "link":
          if (isOurGroup(event.link.group)) known.add(event.link.index);
          else if (known.has(event.link.index)) return o.ask(`a change of link ${event.link.name}`);
          if (o.isOurs(event.link) && !event.link.up) o.ask(`link ${event.link.name} going down`);
          return;
        case "link-gone":
          if (known.delete(event.link.index) && o.isOurs(event.link)) o.ask(`link ${event.link.name} disappearing`);
          return;
        case "address-gone":
          if (known.has(event.address.link)) o.ask(`address ${event.address.cidr} disappearing`);
          return;
        case "route":
        case "route-gone":
          if (prefixLength(event.route.destination) === 0) o.ask("a change of the default route");
          return;
        case "lost":
          return o.ask("a flood of kernel events");
        case "address":
        case "neighbour":
        case "neighbour-gone":
          return;
      }
    }),
  );
  stack.use(
    o.host.firewall.watch({
      changed: (event) => {
        const touched = event.tables.some((t) => tableNames.some((ours) => ours.family === t.family && ours.name === t.name));
        if (event.ours || !touched) return;
        o.distrustFirewall();
        o.chronicle.tell({ kind: "foreign-change", subject: "firewall", message: `our ruleset was changed by ${event.comm} (pid ${event.pid})`, details: { pid: event.pid, comm: event.comm } });
        o.ask(`a change of our ruleset by ${event.comm}`);
      },
      lost: () => {
        o.distrustFirewall();
        o.ask("a flood of firewall events");
      },
    }),
  );
  const kept = stack.move();
  return { [Symbol.dispose]: () => kept.dispose() };
}
