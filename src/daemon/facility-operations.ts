import { dirname } from "node:path";
import type { Context, Handlers } from "../api/contract.ts";
import { NexusError, SpecError } from "../base/errors.ts";
import { schemeOf } from "../spec/repository.ts";
import type { Facilities } from "./facilities.ts";

type FacilityOperations = Pick<Handlers, Extract<keyof Handlers, `facility.${string}`>>;

/** The API's operations on facilities. The log has who changed which path, and never what was in it. */
export function facilityOperations(facilities: Facilities): FacilityOperations {
  return {
    "facility.list": async () => await facilities.list(),
    "facility.create": async ({ body }, { peer, progress, signal }) => {
      const { credential, ...spec } = body;
      if (credential !== undefined && spec.clone === undefined)
        throw new SpecError([{ path: "credential", problem: "is for a clone, and nothing is to be cloned" }]);
      if (spec.clone !== undefined && schemeOf(spec.clone.url) === "file") refuseForeign(peer);
      return await facilities.create(spec, { credential, progress, signal });
    },
    "facility.get": async ({ params }) => await facilities.inspect(params.name),
    "facility.remove": async ({ params, query }) => {
      await facilities.remove(params.name, query);
      return { removed: [params.name] };
    },
    "facility.unlock": async ({ params }) => {
      facilities.unlock(params.name);
      return await facilities.inspect(params.name);
    },
    "facility.diff": async ({ params, query }, { signal }) => {
      const { patch, ...diff } = await facilities.diff(params.name, { since: query.since, limitBytes: query.limit, signal });
      return { ...diff, patch: patch.toString("base64") };
    },
    "facility.artifacts": async ({ params, body }, { signal }) => {
      const { globs, ...limits } = body;
      return await facilities.artifacts(params.name, { globs, limits, signal });
    },
    "facility.read": async ({ params, query }) => {
      const files = await facilities.files(params.name, "read");
      const { file, chunks } = await files.read(query.path, { offset: query.offset, limitBytes: query.limit });
      return Object.assign(chunks, { headers: { "nexus-file-size": String(file.sizeBytes), "nexus-file-mode": file.mode.toString(8) } });
    },
    "facility.write": async ({ params, body }, { log, peer }) => {
      const { path, content, ...how } = body;
      const files = await facilities.files(params.name, "write");
      if (dirname(path) !== "/") await files.makeDirectory(dirname(path), 0o755);
      const written = await files.write(path, { bytes: content, ...how });
      log.info({ uid: peer.uid, facility: params.name, path, bytes: written.sizeBytes }, "a file was written in a facility");
      return written;
    },
  };
}

/** With an address of the host's own files a caller could read what only the daemon may. */
function refuseForeign({ uid }: Context["peer"]): void {
  if (uid === 0 || uid === process.getuid?.()) return;
  throw new NexusError("not-permitted", `file:// addresses are for root, and the caller has uid ${uid}`, {
    hint: "use sudo, or an https address",
  });
}
