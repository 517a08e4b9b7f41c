import { always, known, type Operation } from "./operation.ts";

/** Workspaces of sandboxed commands, and the files in them. */
export const facilityOperations = {
  "facility.list": { method: "GET", path: "/v1/facilities", summary: "Lists the facilities on this host", when: always, answers: "json" },
  "facility.create": {
    method: "POST",
    path: "/v1/facilities",
    summary: "Makes a facility, empty or with a clone of a git repository",
    when: "no facility has the name, and its size fits on the disk; file:// addresses are for root and the daemon's own user",
    answers: "progress",
  },
  "facility.get": { method: "GET", path: "/v1/facilities/{name}", summary: "Describes one facility", when: known, answers: "json" },
  "facility.remove": {
    method: "DELETE",
    path: "/v1/facilities/{name}",
    summary: "Removes a facility and all that is in it",
    when: "no run has it, or force, which ends that run",
    answers: "json",
  },
  "facility.unlock": {
    method: "POST",
    path: "/v1/facilities/{name}/unlock",
    summary: "Takes a facility from the run that has it",
    when: "a run has it",
    answers: "json",
  },
  "facility.diff": {
    method: "GET",
    path: "/v1/facilities/{name}/diff",
    summary: "How its files differ from when it was made, or from when its last run began: a patch for git apply",
    when: known,
    answers: "json",
  },
  "facility.artifacts": {
    method: "POST",
    path: "/v1/facilities/{name}/artifacts",
    summary: "Finds the plain files that patterns mean; links are not followed",
    when: known,
    answers: "json",
  },
  "facility.read": {
    method: "GET",
    path: "/v1/facilities/{name}/file",
    summary: "The bytes of a plain file in a facility, or a part of them; the header nexus-file-size tells of the whole",
    when: known,
    answers: "bytes",
  },
  "facility.write": {
    method: "PUT",
    path: "/v1/facilities/{name}/file",
    summary: "Writes a plain file in a facility, and makes the directories above it",
    when: "no run has it",
    answers: "json",
  },
} as const satisfies Record<string, Operation>;
