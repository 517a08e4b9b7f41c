import { setTimeout as delay } from "node:timers/promises";
import { setupText } from "../guest-text.ts";
import type { Client } from "../../api/client.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import type { Condition } from "../../spec/compose/guest-schema.ts";
import { startsAgain } from "../../spec/restart-policy.ts";
import type { GuestView } from "../../spec/views.ts";

/** Waits until a guest is what others need it to be. @throws NexusError wrong-state when it cannot become so any more, timeout; the signal's reason */
export async function untilCondition(
  client: Client,
  { name, condition, patienceMs }: { name: Name; condition: Condition; patienceMs: number },
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + patienceMs;
  for (let pause = 25; ; pause = Math.min(pause * 1.5, 500)) {
    signal.throwIfAborted();
    const guest = await client.call("guest.get", { params: { name } });
    if (holds(guest, condition)) return;
    if (performance.now() > end)
      throw new NexusError("timeout", `${name} is not ${condition} after ${Math.round(patienceMs / 1000)} s: it is ${stateOf(guest)}`, {
        hint: `nexus logs ${name} shows what it wrote`,
      });
    await delay(pause, undefined, { signal });
  }
}

/** @throws NexusError wrong-state when it never will */
function holds(guest: GuestView, condition: Condition): boolean {
  switch (condition) {
    case "started":
      if (guest.state === "exited" || (guest.state === "running" && isSetUp(guest, condition))) return true;
      break;
    case "healthy":
      if (guest.health?.state === "healthy" && guest.state === "running" && isSetUp(guest, condition)) return true;
      if (guest.health?.state === "unhealthy") throw never(guest, condition);
      break;
    case "completed":
      if (guest.state === "exited" && guest.exit?.code === 0) return true;
      break;
    default:
      return unreachable(condition);
  }
  const over = guest.state === "stopped" || guest.state === "failed" || guest.state === "exited";
  if (over && !comesBack(guest)) throw never(guest, condition);
  return false;
}

/** @throws NexusError wrong-state when its set-up failed: a guest is not done half */
function isSetUp(guest: GuestView, condition: Condition): boolean {
  if (guest.setup?.state === "failed") throw never(guest, condition);
  return guest.setup?.state !== "pending";
}

/** Whether the daemon is about to start it again. */
function comesBack(guest: GuestView): boolean {
  const ended = { exitCode: guest.exit?.code ?? 1, restarts: guest.restarts };
  return guest.state === "exited" && startsAgain(guest.spec?.restart ?? "no", ended);
}

function never(guest: GuestView, condition: Condition): NexusError {
  return new NexusError("wrong-state", `${guest.name} will not be ${condition}: it is ${stateOf(guest)}`, {
    hint: `nexus logs ${guest.name} shows what it wrote`,
  });
}

function stateOf(guest: GuestView): string {
  const health =
    guest.health === undefined ? "" : `, ${guest.health.state}${guest.health.said === undefined ? "" : `: ${guest.health.said}`}`;
  const setup = guest.setup === undefined || guest.setup.state === "done" ? "" : `, ${setupText(guest.setup)}`;
  const exit = guest.exit === undefined || guest.state === "running" ? "" : ` with code ${guest.exit.code}`;
  const last = guest.state === "running" ? undefined : guest.exit?.lastLines.at(-1);
  return `${guest.state}${exit}${setup}${health}${last === undefined ? "" : `; its last words: ${last}`}`;
}
