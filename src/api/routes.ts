import { z } from "zod";
import * as answers from "./answers.ts";
import type { AnswerShape } from "./answers.ts";
import * as facilities from "./facility-requests.ts";
import * as files from "./file-requests.ts";
import { anyImageReference, imageChecksum, imageKind } from "./image-reference.ts";
import { target } from "./why-target.ts";
import type { OperationId } from "./operations.ts";
import { labelSet } from "../spec/labels.ts";
import { facilityRequest } from "../spec/facility.ts";
import { guestChange } from "../spec/change.ts";
import { networkChange, networkSpec } from "../spec/network.ts";
import { attachmentSpec, nodeSpec } from "../spec/node.ts";
import { runSpec } from "../spec/run.ts";
import { nameText } from "../spec/text.ts";
import { vmSpec } from "../spec/vm.ts";

/** What one operation takes and gives. Absent parts take nothing. Query values are booleans and numbers here; the server reads them from text. */
export type Route = {
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  answer: AnswerShape<unknown>;
  /** 200 unless said. */
  status?: 201;
  /** The most bytes its body may have, when that is more than others may. */
  bodyLimit?: number;
};

/** An id, or as much of its beginning as only one has. */
const runId = z.strictObject({ id: z.string().regex(/^[0-9a-f]{1,12}$/, "an id of a run has up to 12 of 0-9 and a-f") });
const named = z.strictObject({ name: nameText });
const force = z.strictObject({ force: z.boolean().default(false) });
/** Seconds between asking a guest to end and killing it. */
const grace = z.number().int().min(0).max(3600).default(10);

const logQuery = z.strictObject({ tail: z.number().int().min(0).max(1_000_000).optional(), follow: z.boolean().default(false) });

/** What runs inside a node; the first frame of the upgraded connection. */
export const execRequest = z.strictObject({
  command: z.array(z.string().max(131072)).min(1).max(1024),
  env: z.record(z.string(), z.string()).default({}),
  cwd: z.string().min(1).optional(),
  terminal: z.strictObject({ columns: z.number().int().min(1).max(65535), rows: z.number().int().min(1).max(65535) }).optional(),
});
export type ExecRequestInput = z.input<typeof execRequest>;

export const routes = {
  health: { answer: answers.health },
  version: { answer: answers.version },
  info: { answer: answers.info },
  openapi: { answer: answers.openapi },

  "network.list": { answer: answers.listOf(answers.network) },
  "network.create": { body: networkSpec, answer: answers.network, status: 201 },
  "network.get": { params: named, answer: answers.network },
  "network.change": { params: named, body: networkChange, answer: answers.network },
  "network.remove": { params: named, query: force, answer: answers.removed },
  "network.reset": { query: force, answer: answers.removed },
  why: {
    query: z.strictObject({ from: z.string().min(1).max(255), to: target, protocol: z.enum(["tcp", "udp", "icmp"]).default("tcp") }),
    answer: answers.why,
  },

  "guest.list": { answer: answers.listOf(answers.guest) },
  "guest.start": { params: named, answer: answers.guest },
  "guest.stop": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "guest.get": { params: named, answer: answers.guest },
  "guest.change": { params: named, body: guestChange, answer: answers.guest },
  "guest.restart": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "guest.remove": { params: named, answer: answers.removed },
  "guest.logs": { params: named, query: logQuery, answer: answers.nothing },
  "guest.exec": { params: named, body: execRequest, answer: answers.nothing },

  "file.stat": { params: named, query: files.statQuery, answer: answers.file },
  "file.read": { params: named, query: files.readQuery, answer: answers.nothing },
  "file.write": { params: named, body: files.writeBody, bodyLimit: files.writeBodyLimit, answer: answers.file },
  "file.remove": { params: named, query: files.removeQuery, answer: answers.removed },
  "file.rename": { params: named, body: files.renameBody, answer: answers.removed },
  "file.list": { params: named, query: files.listQuery, answer: answers.directory },
  "file.mkdir": { params: named, body: files.mkdirBody, answer: answers.file, status: 201 },

  "node.list": { answer: answers.listOf(answers.guest) },
  "node.create": { query: z.strictObject({ start: z.boolean().default(true) }), body: nodeSpec, answer: answers.guest, status: 201 },
  "node.get": { params: named, answer: answers.guest },
  "node.start": { params: named, answer: answers.guest },
  "node.stop": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "node.restart": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "node.remove": { params: named, query: force, answer: answers.removed },
  "node.exec": { params: named, body: execRequest, answer: answers.nothing },
  "node.logs": {
    params: named,
    query: logQuery,
    answer: answers.nothing,
  },

  "vm.list": { answer: answers.listOf(answers.guest) },
  "vm.create": {
    query: z.strictObject({ start: z.boolean().default(true) }),
    body: vmSpec,
    // Scripts and user data come along.
    bodyLimit: 2 * 1024 * 1024,
    answer: answers.guest,
    status: 201,
  },
  "vm.get": { params: named, answer: answers.guest },
  "vm.start": { params: named, answer: answers.guest },
  "vm.stop": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "vm.restart": { params: named, query: z.strictObject({ grace }), answer: answers.guest },
  "vm.remove": { params: named, query: force, answer: answers.removed },
  "vm.exec": { params: named, body: execRequest, answer: answers.nothing },
  "vm.console": { params: named, body: z.strictObject({}), answer: answers.nothing },
  "vm.logs": { params: named, query: logQuery, answer: answers.nothing },

  "run.exec": { body: runSpec, answer: answers.nothing },
  "run.create": { body: runSpec, answer: answers.run, status: 201 },
  "run.list": { query: z.strictObject({ limit: z.number().int().min(1).max(10_000).default(100) }), answer: answers.listOf(answers.run) },
  "run.get": {
    params: runId,
    query: z.strictObject({ wait: z.number().int().min(0).max(3600).default(0).describe("seconds") }),
    answer: answers.run,
  },
  "run.cancel": { params: runId, answer: answers.run },
  "run.logs": {
    params: runId,
    query: z.strictObject({ stream: z.enum(["stdout", "stderr", "audit"]).default("stdout"), follow: z.boolean().default(false) }),
    answer: answers.nothing,
  },
  "run.remove": { params: runId, answer: answers.removed },
  "run.prune": {
    query: z.strictObject({ older: z.number().int().min(0).default(0).describe("seconds since their end") }),
    answer: answers.removed,
  },

  "attachment.list": { answer: answers.listOf(answers.guest) },
  "attachment.create": { body: attachmentSpec, answer: answers.guest, status: 201 },
  "attachment.get": { params: named, answer: answers.guest },
  "attachment.remove": { params: named, answer: answers.removed },

  "image.list": { answer: answers.listOf(answers.image) },
  "image.pull": {
    body: z.strictObject({ reference: anyImageReference, kind: imageKind.optional(), checksum: imageChecksum.optional() }),
    answer: answers.image,
    status: 201,
  },
  "image.remove": {
    params: z.strictObject({ reference: anyImageReference }),
    query: z.strictObject({ kind: imageKind.optional() }),
    answer: answers.removed,
  },

  "volume.list": { answer: answers.listOf(answers.volume) },
  "volume.create": { body: z.strictObject({ name: nameText, labels: labelSet.default({}) }), answer: answers.volume, status: 201 },
  "volume.remove": { params: named, answer: answers.removed },

  "facility.list": { answer: answers.listOf(answers.facility) },
  "facility.create": { body: facilityRequest, answer: answers.facility, status: 201 },
  "facility.get": { params: named, answer: answers.facility },
  "facility.remove": { params: named, query: force, answer: answers.removed },
  "facility.unlock": { params: named, answer: answers.facility },
  "facility.diff": { params: named, query: facilities.diffQuery, answer: answers.facilityDiff },
  "facility.artifacts": { params: named, body: facilities.artifactsBody, answer: answers.artifacts },
  "facility.read": { params: named, query: facilities.facilityReadQuery, answer: answers.nothing },
  "facility.write": {
    params: named,
    body: facilities.facilityWriteBody,
    bodyLimit: files.writeBodyLimit,
    answer: answers.file,
  },

  "config.show": { answer: answers.settings },
  "config.get": { params: z.strictObject({ key: z.string().min(1).max(128) }), answer: answers.setting },
  "config.set": {
    params: z.strictObject({ key: z.string().min(1).max(128) }),
    body: z.strictObject({ value: z.unknown() }),
    answer: answers.setting,
  },
  "config.unset": { params: z.strictObject({ key: z.string().min(1).max(128) }), answer: answers.setting },

  "event.list": {
    query: z.strictObject({ since: z.number().int().min(0).default(0), follow: z.boolean().default(false) }),
    answer: answers.event,
  },
  "plan.preview": {
    body: z.strictObject({
      networks: z.array(networkSpec).max(1024).default([]),
      nodes: z.array(nodeSpec).max(4096).default([]),
      vms: z.array(vmSpec).max(4096).default([]),
    }),
    answer: answers.steps,
  },
  "plan.pending": { answer: answers.steps },
  reconcile: { answer: answers.steps },
  doctor: { answer: answers.diagnosis },
  shutdown: { answer: answers.health },
} as const satisfies Record<OperationId, Route>;

export type Routes = typeof routes;

export function routeOf(id: OperationId): Route {
  return routes[id];
}
