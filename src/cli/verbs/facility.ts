import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import type { VerbContext } from "../context.ts";
import { eachName } from "../each-name.ts";
import { bytesText, since } from "../figures.ts";
import { facts, table } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";
import { parseLabel } from "../../spec/flags.ts";
import type { FacilityView } from "../../spec/views.ts";

export async function create(c: VerbContext): Promise<void> {
  const [url, ref, size] = [c.flags.text("clone"), c.flags.text("ref"), c.flags.text("size")];
  const given = c.flags.text("credential");
  if (url === undefined && (ref !== undefined || given !== undefined))
    throw new NexusError("usage", `nexus facility create: --${ref === undefined ? "credential" : "ref"} is for a clone`, {
      hint: "for example: --clone https://example.org/project.git",
    });
  const credential = given === undefined ? undefined : await credentialFrom(c, given);
  const body = {
    name: c.arg("NAME"),
    ...(url === undefined ? {} : { clone: { url, ...(ref === undefined ? {} : { ref }) } }),
    ...(size === undefined ? {} : { size }),
    ...(credential === undefined ? {} : { credential }),
    labels: Object.fromEntries(c.flags.many("label").map(parseLabel)),
  };
  const client = await c.client();
  using progress = c.progress();
  const made = await client.follow("facility.create", { body }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(made, () => `${made.name}  ${bytesText(made.sizeBytes)}  ${made.path}\n`);
}

export async function list(c: VerbContext): Promise<void> {
  const facilities = await (await c.client()).call("facility.list");
  c.out.result(facilities, () =>
    table(
      ["NAME", "STATE", "SIZE", "USED", "RUN", "CREATED", "CLONE OF"],
      facilities.map((f) => [
        f.name,
        f.state,
        bytesText(f.sizeBytes),
        f.usedBytes === undefined ? "" : bytesText(f.usedBytes),
        f.lock?.run ?? "",
        since(f.createdAt),
        f.clone?.url ?? "",
      ]),
    ),
  );
}

export async function inspect(c: VerbContext): Promise<void> {
  const facility = await (await c.client()).call("facility.get", { params: { name: c.arg("NAME") } });
  c.out.result(facility, () => describe(facility));
}

export async function remove(c: VerbContext): Promise<void> {
  const client = await c.client();
  const query = { force: c.flags.on("force") };
  await eachName(c, async (name) => (await client.call("facility.remove", { params: { name }, query })).removed);
}

export async function unlock(c: VerbContext): Promise<void> {
  if (!c.flags.on("force"))
    throw new NexusError("usage", "nexus facility unlock: a run that is still there would share the files with the next one", {
      hint: "end the run instead, or say that you mean it with --force",
    });
  const facility = await (await c.client()).call("facility.unlock", { params: { name: c.arg("NAME") } });
  c.out.result(facility, () => `${facility.name}\n`);
}

function describe(f: FacilityView): string {
  return facts([
    ["name", f.name],
    ["state", f.state],
    ["directory", f.path],
    ["size", `${bytesText(f.sizeBytes)}${f.limit === "watch" ? ", watched while a run works" : ""}`],
    ["used", f.usedBytes === undefined ? undefined : bytesText(f.usedBytes)],
    ["files of", `uid ${f.uid}`],
    ["clone of", f.clone === undefined ? undefined : `${f.clone.url}${f.clone.ref === undefined ? "" : ` (${f.clone.ref})`}`],
    ["run", f.lock === undefined ? undefined : `${f.lock.run}, for ${since(f.lock.since)}`],
    ["created", f.createdAt],
    [
      "labels",
      Object.entries(f.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(" "),
    ],
  ]);
}

/** `USER:PASSWORD`, or a token alone. From a file or a pipe, so that it stands on no command line. @throws NexusError not-found, usage */
async function credentialFrom(c: VerbContext, file: string): Promise<{ username?: string; password: string }> {
  const bytes = file === "-" ? await buffer(c.io.stdin) : readFile(file);
  const text = bytes.toString("utf8").replace(/\r?\n$/, "");
  if (text === "" || /[\n\r\0]/.test(text))
    throw new NexusError("usage", `${file === "-" ? "standard input" : file} must have one line: a token, or USER:PASSWORD`);
  const colon = text.indexOf(":");
  return colon === -1 ? { password: text } : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new NexusError("not-found", `the credential cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
