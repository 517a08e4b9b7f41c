import type { VerbContext } from "../context.ts";
import { addressesText, guestFacts, publishText, stateText } from "../guest-text.ts";
import { table } from "../tables.ts";
import { serviceOf } from "../compose/present.ts";
import { runName, runService, runStateText } from "../compose/sandboxes.ts";
import { guestNamed, projectGuests, projectServices, runNamed } from "../compose/targets.ts";
import type { ProjectGuest } from "../../spec/compose/project.ts";

export async function ps(c: VerbContext): Promise<void> {
  const client = await c.client();
  const { guests, runs } = await projectServices(c, client, c.rest);
  const sandboxes = runs.map((run) => ({ kind: "sandbox", name: runName(run), service: runService(run), ...run }));
  c.out.result([...guests, ...sandboxes], () =>
    table(
      ["SERVICE", "NAME", "KIND", "STATE", "ADDRESSES", "PUBLISHED"],
      [
        ...guests.map((g) => [
          serviceOf(g),
          g.name,
          g.kind === "vm" ? "vm" : "node",
          stateText(g),
          g.sshPort === undefined ? addressesText(g) : `ssh 127.0.0.1:${g.sshPort}`,
          publishText(g.publish),
        ]),
        ...runs.map((run) => [runService(run), runName(run), "sandbox", runStateText(run), `run ${run.id}`, ""]),
      ],
    ),
  );
}

export async function start(c: VerbContext): Promise<void> {
  await each(c, async (client, name, say) => void (await client.follow("guest.start", { params: { name } }, say)));
}

export async function stop(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  await each(c, async (client, name) => void (await client.call("guest.stop", { params: { name }, query })));
}

export async function restart(c: VerbContext): Promise<void> {
  const { graceOf } = await import("../guest-flags.ts");
  const query = graceOf(c);
  await each(c, async (client, name, say) => void (await client.follow("guest.restart", { params: { name }, query }, say)));
}

export async function logs(c: VerbContext): Promise<void> {
  const { followLogs } = await import("../compose/follow-logs.ts");
  const client = await c.client();
  const { findProjectFiles } = await import("../compose/files.ts");
  const outside = findProjectFiles(c) === undefined && c.rest.length > 0;
  if (outside) await followLogs(c, client, { guests: await Promise.all(c.rest.map((word) => guestNamed(c, client, word))), runs: [] });
  else await followLogs(c, client, await projectServices(c, client, c.rest));
}

export async function inspect(c: VerbContext): Promise<void> {
  const client = await c.client();
  const run = await runNamed(c, client, c.arg("NAME"));
  if (run !== undefined) {
    const { runFacts } = await import("../run-text.ts");
    return c.out.result({ kind: "sandbox", name: runName(run), ...run }, () => runFacts(run));
  }
  const guest = await guestNamed(c, client, c.arg("NAME"));
  c.out.result(guest, () => guestFacts(guest));
}

/** The file as it is understood: everything looked up, every default written out. */
export async function config(c: VerbContext): Promise<void> {
  const { openProject } = await import("../compose/open.ts");
  const { resolvedText } = await import("../../spec/compose/resolved.ts");
  const text = resolvedText(openProject(c));
  const { parse } = await import("yaml");
  c.out.result(c.out.json ? (parse(text) as unknown) : text, () => text);
}

/** Fetches what the project's guests are made from. */
export async function pull(c: VerbContext): Promise<void> {
  const { openProject } = await import("../compose/open.ts");
  const { activeGuests } = await import("../../spec/compose/project.ts");
  const { onlyServices } = await import("../compose/services.ts");
  const project = onlyServices(openProject(c), c.rest);
  const client = await c.client();
  const wanted = new Map(
    activeGuests(project)
      .filter(isFetched)
      .map((guest) => [`${guest.kind} ${guest.spec.image}`, { reference: guest.spec.image, kind: kindOf(guest) }]),
  );
  using progress = c.progress();
  const images: { reference: string }[] = [];
  for (const body of wanted.values()) images.push(await client.follow("image.pull", { body }, progress.show));
  progress[Symbol.dispose]();
  c.out.result(images, () => images.map((image) => `${image.reference}\n`).join(""));
}

function kindOf({ kind }: ProjectGuest): "oci" | "vm" {
  return kind === "vm" ? "vm" : "oci";
}

/** What lies on this host already is not fetched; a node's `mini` is made in no time. */
function isFetched({ kind, spec }: ProjectGuest): boolean {
  return !spec.image.startsWith("/") && (kind === "vm" || spec.image !== "mini");
}

type Act = (client: Awaited<ReturnType<VerbContext["client"]>>, name: string, say: (line: string) => void) => Promise<void>;

/** Does the same to the named guests of the project, or to all. */
async function each(c: VerbContext, act: Act): Promise<void> {
  const client = await c.client();
  const guests = await projectGuests(c, client, c.rest);
  using progress = c.progress();
  for (const { name } of guests) await act(client, name, progress.show);
  progress[Symbol.dispose]();
  const after = await client.call("guest.list");
  const views = guests.flatMap(({ name }) => after.find((guest) => guest.name === name) ?? []);
  c.out.result(views, () => views.map((guest) => `${guest.name}  ${stateText(guest)}\n`).join(""));
}
