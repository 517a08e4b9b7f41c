import { z } from "zod";
import { type RunView, runReasons, runStates } from "../spec/run-view.ts";
import type {
  ArtifactsView,
  AttachmentView,
  EventView,
  FacilityDiffView,
  FacilityView,
  FileView,
  GuestView,
  LeaseView,
  NetworkView,
  VolumeView,
  WhyView,
} from "../spec/views.ts";

/** A named answer of the API: its schema goes into OpenAPI and into tests, its type to handlers and the client. */
export type AnswerShape<View> = { name: string; schema: z.ZodType; readonly view?: View };

/** An answer whose type exists already: the compiler checks that the schema has the same keys and takes every value of it. */
function answerOf<View>() {
  return <Schema extends z.ZodType>(name: string, schema: Schema & Describes<View, Schema>): AnswerShape<View> => ({ name, schema });
}

type Describes<View, Schema extends z.ZodType> =
  View extends z.output<Schema>
    ? [keyof View] extends [keyof z.output<Schema>]
      ? [keyof z.output<Schema>] extends [keyof View]
        ? unknown
        : never
      : never
    : never;

/** An answer whose type is inferred from its schema. */
function answer<Schema extends z.ZodType>(name: string, schema: Schema): AnswerShape<z.output<Schema>> {
  return { name, schema };
}

export function listOf<View>(shape: AnswerShape<View>): AnswerShape<View[]> {
  return { name: `${shape.name}List`, schema: z.array(shape.schema) };
}

const text = z.string();
const count = z.number().int().min(0);

const leaseSchema = z.strictObject({ address: text, guest: text, nic: text, mac: text, since: text });
export const lease = answerOf<LeaseView>()("Lease", leaseSchema);

const egressSchema = z.strictObject({ mode: z.enum(["none", "allowlist", "unrestricted"]), allow: z.array(text) });

const networkSchema = z.strictObject({
  name: text,
  bridge: text,
  group: count,
  mac: text,
  subnets: z.array(z.strictObject({ prefix: text, gateway: text, reserved: z.array(text), leased: count, size: z.number() })),
  mtuBytes: count,
  mtu: z.union([z.literal("auto"), count]),
  dns: z.array(text),
  nat: z.boolean(),
  isolation: z.enum(["none", "guests"]),
  internal: z.boolean(),
  dhcp: z.boolean(),
  peers: z.array(text),
  egress: egressSchema.optional(),
  state: z.enum(["up", "degraded"]),
  problem: text.optional(),
  leases: z.array(leaseSchema),
  counters: z.strictObject({ packets: count, bytes: count }).optional(),
  createdAt: text,
  labels: z.record(text, text),
  spec: z.record(text, z.unknown()),
});
export const network = answerOf<NetworkView>()("Network", networkSchema);

const attachmentSchema = z.strictObject({
  network: text,
  nic: text,
  hostInterface: text,
  mac: text,
  addresses: z.array(text),
  gateways: z.array(text),
  mtuBytes: count,
});
export const attachment = answerOf<AttachmentView>()("Attachment", attachmentSchema);

const publishSchema = z.strictObject({
  protocol: z.enum(["tcp", "udp"]),
  hostAddress: text.optional(),
  hostPort: count,
  hostPortEnd: count.optional(),
  guestPort: count,
});

const exitSchema = z.strictObject({
  code: z.number().int(),
  signal: text.optional(),
  oomKilled: z.boolean(),
  at: text,
  lastLines: z.array(text),
});
const limitsSchema = z.strictObject({
  memoryBytes: count.optional(),
  cpuShares: count.optional(),
  cpus: z.number().optional(),
  pids: count.optional(),
});

export const guest = answerOf<GuestView>()(
  "Guest",
  z.strictObject({
    name: text,
    kind: z.enum(["container", "vm", "netns"]),
    state: z.enum(["created", "starting", "running", "stopping", "stopped", "exited", "failed"]),
    image: text.optional(),
    pid: count.optional(),
    startedAt: text.optional(),
    createdAt: text,
    restarts: count,
    exit: exitSchema.optional(),
    problem: text.optional(),
    attachments: z.array(attachmentSchema),
    publish: z.array(publishSchema),
    netns: text.optional(),
    limits: limitsSchema.optional(),
    runtime: text.optional(),
    health: z.strictObject({ state: z.enum(["starting", "healthy", "unhealthy"]), failures: count, said: text.optional() }).optional(),
    setup: z.strictObject({ state: z.enum(["pending", "done", "failed"]), said: text.optional() }).optional(),
    acceleration: z.strictObject({ kind: z.enum(["kvm", "tcg"]), why: text }).optional(),
    runsAs: z.strictObject({ uid: count, why: text.optional() }).optional(),
    sshPort: count.optional(),
    sshUser: text.optional(),
    /** What was asked, as nodeSpec or vmSpec wrote it out. */
    spec: z.record(text, z.unknown()).optional(),
  }),
);

export const volume = answerOf<VolumeView>()(
  "Volume",
  z.strictObject({
    name: text,
    kind: z.enum(["directory", "disk", "unused"]),
    path: text,
    usedBy: z.array(text),
    changedAt: text,
    sizeBytes: count.optional(),
    labels: z.record(text, text),
  }),
);

const runOutput = z.strictObject({ bytes: count, dropped: count });
export const run = answerOf<RunView>()(
  "Run",
  z.strictObject({
    id: text,
    state: z.enum(runStates),
    reason: z.enum(runReasons).optional(),
    message: text.optional(),
    code: count.optional(),
    exit: z.strictObject({ code: z.number().int(), signal: text.optional(), outOfMemory: z.boolean() }).optional(),
    driver: text.optional(),
    limitedBy: z.enum(["cgroups", "rlimits"]).optional(),
    root: text.optional(),
    uid: count,
    detached: z.boolean(),
    createdAt: text,
    startedAt: text.optional(),
    endedAt: text.optional(),
    tookMs: z.number().optional(),
    output: z.strictObject({ stdout: runOutput, stderr: runOutput }),
    egress: z.strictObject({ allowed: count, denied: count, unwritten: count.optional() }).optional(),
    /** What was asked, as runSpec wrote it out; of the environment the names. */
    spec: z.record(text, z.unknown()),
  }),
);

const fileSchema = z.strictObject({
  name: text,
  nameBytes: text.optional(),
  kind: z.enum(["file", "directory", "link", "pipe", "socket", "device"]),
  sizeBytes: count,
  mode: count,
  modifiedAt: text,
});
export const file = answerOf<FileView>()("File", fileSchema);

export const directory = answerOf<{ entries: FileView[]; more: boolean }>()(
  "Directory",
  z.strictObject({
    entries: z.array(fileSchema),
    /** True when it has more entries than were asked for. */
    more: z.boolean(),
  }),
);

export const facility = answerOf<FacilityView>()(
  "Facility",
  z.strictObject({
    name: text,
    state: z.enum(["making", "ready", "leaving"]),
    path: text,
    sizeBytes: count,
    usedBytes: count.optional(),
    limit: z.enum(["disk", "watch"]),
    uid: count,
    clone: z.strictObject({ url: text, ref: text.optional() }).optional(),
    lock: z.strictObject({ run: text, since: text }).optional(),
    epoch: count,
    createdAt: text,
    labels: z.record(text, text),
  }),
);

const leftOut = { leftOut: z.array(z.strictObject({ path: text, why: text })), leftOutCount: count };

export const facilityDiff = answerOf<FacilityDiffView>()(
  "FacilityDiff",
  z.strictObject({
    since: z.enum(["create", "run"]),
    /** Base64. */
    patch: text,
    truncated: z.boolean(),
    files: z.array(z.strictObject({ path: text, pathBytes: text.optional(), added: count.optional(), removed: count.optional() })),
    ...leftOut,
  }),
);

export const artifacts = answerOf<ArtifactsView>()(
  "Artifacts",
  z.strictObject({ files: z.array(z.strictObject({ path: text, sizeBytes: count, mode: count })), ...leftOut }),
);

export const event = answerOf<EventView>()(
  "Event",
  z.strictObject({ id: count, at: text, kind: text, subject: text, message: text, details: z.record(text, z.unknown()).optional() }),
);

export const why = answerOf<WhyView>()(
  "Why",
  z.strictObject({
    verdict: z.enum(["allow", "deny"]),
    reason: text,
    rule: text,
    path: z.array(z.strictObject({ step: text, result: text })),
  }),
);

export const health = answer("Health", z.strictObject({ status: z.literal("ok") }));

export const version = answer("Version", z.strictObject({ version: text, api: z.literal("v1"), node: text }));

export const info = answer(
  "Info",
  z.strictObject({
    version: text,
    pid: count,
    startedAt: text,
    socket: text,
    stateDir: text,
    runDir: text,
    cacheDir: text,
    /** host: root's daemon. user: an ordinary user's own, for virtual machines in user mode. */
    scope: z.enum(["host", "user"]),
    kernel: text,
    networks: count,
    guests: z.strictObject({ total: count, running: count }),
    /** Features of this kernel and host that are used, and those that are missed with the reason. */
    features: z.array(z.strictObject({ name: text, present: z.boolean(), note: text.optional() })),
  }),
);

/** Names of what is gone now. */
export const removed = answer("Removed", z.strictObject({ removed: z.array(text) }));

export const steps = answer("Steps", z.strictObject({ steps: z.array(text) }));

export const image = answer(
  "Image",
  z.strictObject({
    reference: text,
    /** "oci": the root file system of containers; "vm": what virtual machines boot. */
    kind: z.enum(["oci", "vm"]),
    digest: text.optional(),
    sizeBytes: count,
    /** Of the disk a virtual machine sees; absent for a kernel. */
    virtualBytes: count.optional(),
    format: text.optional(),
    pulledAt: text.optional(),
    usedBy: z.array(text),
  }),
);

export const setting = answer(
  "Setting",
  z.strictObject({
    key: text,
    value: z.unknown(),
    source: z.enum(["default", "file", "stored", "environment"]),
    summary: text.optional(),
    /** True when the value counts only after the daemon starts again. */
    restartNeeded: z.boolean().optional(),
  }),
);

export const settings = answer(
  "Settings",
  z.strictObject({ file: text.optional(), settings: z.array(setting.schema as z.ZodType<Setting>) }),
);

export type Setting = {
  key: string;
  value: unknown;
  source: "default" | "file" | "stored" | "environment";
  summary?: string;
  restartNeeded?: boolean;
};

const outcome = z.enum(["ok", "warn", "fail", "skip"]);

export const diagnosis = answer(
  "Diagnosis",
  z.strictObject({
    /** False when something needed is broken. */
    ok: z.boolean(),
    checks: z.array(
      z.strictObject({ name: text, ok: outcome, needed: z.boolean(), detail: text, remedy: text.optional(), fixed: text.optional() }),
    ),
  }),
);

export const openapi = answer("OpenApi", z.record(text, z.unknown()));

/** For operations that answer with bytes or leave HTTP. */
export const nothing = answer("Nothing", z.never());
