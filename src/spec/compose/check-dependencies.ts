import type { Name } from "../../base/names.ts";
import { nearest } from "../nearest.ts";
import type { GuestPart } from "./build-guest.ts";
import { type Context, partFault, partPlace } from "./context.ts";
import { circleIn, wavesOf } from "./order.ts";
import { type Project, servicesOf } from "./project.ts";
import { startsAgain } from "../restart-policy.ts";

/** Tells dependencies on guests that are not there or off, on a health nobody looks at, and those that go round in circles. */
export function checkDependencies(context: Context, project: Project, parts: ReadonlyMap<string, GuestPart>): void {
  const guests = new Map(servicesOf(project).map((guest) => [guest.service, guest]));
  for (const guest of guests.values()) {
    const part = parts.get(guest.service);
    if (part === undefined) continue;
    const tell = (name: Name, problem: string, hint: string | undefined): void =>
      partFault(context, part, { at: ["depends_on", name], onKey: true, problem, hint });
    for (const [name, { condition, required }] of guest.dependsOn) {
      const needed = guests.get(name);
      if (needed === undefined) {
        if (parts.has(name)) continue;
        const meant = nearest(name, [...parts.keys()]);
        const problem = `there is no guest "${name}" in this file`;
        if (required) tell(name, problem, meant === undefined ? undefined : `did you mean ${meant}?`);
        else context.faults.warn(partPlace(part, ["depends_on", name], true), { path: [...part.path, "depends_on", name], problem });
        continue;
      }
      if (needed.kind === "sandbox") {
        if (condition === "healthy") tell(name, `waits for the health of ${name}, which is a sandbox`, "wait for it to be completed");
      } else if (condition === "healthy" && needed.healthcheck === undefined && parts.get(name)?.tree.entries.has("healthcheck") !== true)
        tell(name, `waits for the health of ${name}, which has no healthcheck`, `give ${name} a healthcheck, or wait for it to be started`);
      if (condition === "completed" && needed.kind !== "sandbox" && startsAgain(needed.spec.restart, { exitCode: 0, restarts: 0 }))
        tell(name, `waits for the end of ${name}, which is restarted whenever it ends`, `give ${name} restart: "no"`);
      if (guest.active && !needed.active && required)
        tell(name, `needs ${name}, whose profiles are off: ${needed.profiles.join(", ")}`, `turn one on, or write required: false`);
    }
  }
  const needs = new Map([...guests].map(([name, guest]) => [name, [...guest.dependsOn.keys()]]));
  const { rest } = wavesOf(needs);
  const circle = circleIn(needs, rest);
  const [first, second] = [circle[0], circle[1] ?? circle[0]];
  const part = first === undefined ? undefined : parts.get(first);
  if (part === undefined || first === undefined || second === undefined) return;
  const way = [...circle, first].join(" -> ");
  partFault(context, part, {
    at: ["depends_on", second],
    onKey: true,
    problem: `goes round in a circle: ${way}`,
    hint: "leave one of these out",
  });
}
