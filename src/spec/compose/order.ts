import type { Name } from "../../base/names.ts";
import { type Project, type ProjectService, servicesOf } from "./project.ts";

/** The active guests and sandboxes in waves: whoever is in one needs only those of waves before it. */
export function startOrder(project: Project): ProjectService[][] {
  return inOrder(servicesOf(project).filter(({ active }) => active));
}

/** Any of them in such waves. */
export function inOrder<One extends ProjectService>(some: readonly One[]): One[][] {
  const guests = new Map(some.map((guest) => [guest.service, guest]));
  return wavesOf(new Map([...guests].map(([name, guest]) => [name, [...guest.dependsOn.keys()]]))).waves.map((wave) =>
    wave.flatMap((name) => guests.get(name) ?? []),
  );
}

/** Names in waves, each after all it needs; what is needed and not there is nobody's concern here. `rest` goes round in circles. */
export function wavesOf(needs: ReadonlyMap<Name, readonly Name[]>): { waves: Name[][]; rest: ReadonlySet<Name> } {
  const open = new Map<Name, number>();
  const neededBy = new Map<Name, Name[]>();
  for (const [name, needed] of needs) {
    const there = needed.filter((one) => needs.has(one));
    open.set(name, there.length);
    for (const one of there)
      neededBy
        .set(one, neededBy.get(one) ?? [])
        .get(one)
        ?.push(name);
  }
  const waves: Name[][] = [];
  let wave = [...open].filter(([, count]) => count === 0).map(([name]) => name);
  while (wave.length > 0) {
    waves.push(wave);
    const next: Name[] = [];
    for (const name of wave) {
      open.delete(name);
      for (const waiting of neededBy.get(name) ?? []) {
        const left = (open.get(waiting) ?? 0) - 1;
        open.set(waiting, left);
        if (left === 0) next.push(waiting);
      }
    }
    wave = next;
  }
  return { waves, rest: new Set(open.keys()) };
}

/** One circle among names that all need another of them, from the first of them that lies on it. */
export function circleIn(needs: ReadonlyMap<Name, readonly Name[]>, rest: ReadonlySet<Name>): Name[] {
  const way: Name[] = [];
  const seen = new Map<Name, number>();
  let here = rest.values().next().value;
  while (here !== undefined && !seen.has(here)) {
    seen.set(here, way.length);
    way.push(here);
    here = needs.get(here)?.find((one) => rest.has(one));
  }
  return here === undefined ? [] : way.slice(seen.get(here));
}
